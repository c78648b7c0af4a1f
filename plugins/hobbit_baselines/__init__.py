"""The baselines that every table needs: demand loading, plain caches, gate look-ahead, the bounds."""

from __future__ import annotations

from collections.abc import Iterable

from hobbit.api import CacheComponent, LoaderComponent, PrefetcherComponent, RouterComponent, hookimpl
from hobbit_baselines.adaptive_gate import AdaptiveGateComponent
from hobbit_baselines.adaptive_gating import AdaptiveGatingComponent
from hobbit_baselines.belady import BeladyComponent
from hobbit_baselines.cache_conditional import CacheConditionalComponent
from hobbit_baselines.lfu import LfuComponent
from hobbit_baselines.low_everywhere import LowEverywhereComponent
from hobbit_baselines.lru import LruComponent
from hobbit_baselines.lru_dp import LruDpComponent
from hobbit_baselines.next_gate import NextGateComponent
from hobbit_baselines.no_cache import NoCacheComponent
from hobbit_baselines.no_prefetch import NoPrefetchComponent
from hobbit_baselines.on_demand import OnDemandComponent
from hobbit_baselines.passthrough import PassthroughComponent
from hobbit_baselines.pregate import PregateComponent
from hobbit_baselines.pregate_fetch import PregateFetchComponent
from hobbit_baselines.promote import PromoteComponent
from hobbit_baselines.resident import ResidentComponent
from hobbit_baselines.resident_precision import ResidentPrecisionComponent


@hookimpl
def hobbit_loaders() -> Iterable[type[LoaderComponent]]:
    """Load what is missing, or use what there is."""
    return [OnDemandComponent, ResidentPrecisionComponent]


@hookimpl
def hobbit_prefetchers() -> Iterable[type[PrefetcherComponent]]:
    """No prefetching, and that of mixtral-offloading, AdapMoE, Pre-gated MoE and DynaExq."""
    return [
        NoPrefetchComponent,
        NextGateComponent,
        AdaptiveGateComponent,
        PregateFetchComponent,
        PromoteComponent,
    ]


@hookimpl
def hobbit_caches() -> Iterable[type[CacheComponent]]:
    """No cache, the two classics, everything resident, the optimum, and those of AdapMoE and DynaExq."""
    return [
        NoCacheComponent,
        LruComponent,
        LfuComponent,
        ResidentComponent,
        BeladyComponent,
        LruDpComponent,
        LowEverywhereComponent,
    ]


@hookimpl
def hobbit_routers() -> Iterable[type[RouterComponent]]:
    """The routing as the model's router gave it, and three ways to change it."""
    return [PassthroughComponent, AdaptiveGatingComponent, CacheConditionalComponent, PregateComponent]
