"""The baselines that every table needs: demand loading, plain caches, gate look-ahead, the bounds."""

from __future__ import annotations

from collections.abc import Iterable

from hobbit.api import CacheComponent, LoaderComponent, PrefetcherComponent, RouterComponent, hookimpl
from hobbit_baselines.belady import BeladyComponent
from hobbit_baselines.lfu import LfuComponent
from hobbit_baselines.lru import LruComponent
from hobbit_baselines.next_gate import NextGateComponent
from hobbit_baselines.no_cache import NoCacheComponent
from hobbit_baselines.no_prefetch import NoPrefetchComponent
from hobbit_baselines.on_demand import OnDemandComponent
from hobbit_baselines.passthrough import PassthroughComponent
from hobbit_baselines.resident import ResidentComponent


@hookimpl
def hobbit_loaders() -> Iterable[type[LoaderComponent]]:
    """Load what is missing."""
    return [OnDemandComponent]


@hookimpl
def hobbit_prefetchers() -> Iterable[type[PrefetcherComponent]]:
    """No prefetching, and mixtral-offloading's."""
    return [NoPrefetchComponent, NextGateComponent]


@hookimpl
def hobbit_caches() -> Iterable[type[CacheComponent]]:
    """No cache, the two classics, everything resident, and the optimum."""
    return [NoCacheComponent, LruComponent, LfuComponent, ResidentComponent, BeladyComponent]


@hookimpl
def hobbit_routers() -> Iterable[type[RouterComponent]]:
    """The routing as the model's router gave it."""
    return [PassthroughComponent]
