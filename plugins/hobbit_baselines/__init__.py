"""The baselines that every table needs: demand loading, plain caches, gate look-ahead, the bounds."""

from __future__ import annotations

from collections.abc import Iterable

from hobbit.api import (
    BatcherComponent,
    CacheComponent,
    LoaderComponent,
    PrefetcherComponent,
    RouterComponent,
    hookimpl,
)
from hobbit_baselines.adaptive_gate import AdaptiveGateComponent
from hobbit_baselines.adaptive_gating import AdaptiveGatingComponent
from hobbit_baselines.balanced import BalancedComponent
from hobbit_baselines.belady import BeladyComponent
from hobbit_baselines.beside_host import BesideHostComponent
from hobbit_baselines.cache_conditional import CacheConditionalComponent
from hobbit_baselines.eam_cache import EamCacheComponent
from hobbit_baselines.eam_prefetch import EamPrefetchComponent
from hobbit_baselines.edgemoe_cache import EdgeMoeComponent
from hobbit_baselines.expert_aware import ExpertAwareComponent
from hobbit_baselines.fate import FateComponent
from hobbit_baselines.fiddler import FiddlerComponent
from hobbit_baselines.first_come import FirstComeComponent
from hobbit_baselines.first_layers import FirstLayersComponent
from hobbit_baselines.host import HostComponent
from hobbit_baselines.least_stale import LeastStaleComponent
from hobbit_baselines.lfru import LfruComponent
from hobbit_baselines.lfu import LfuComponent
from hobbit_baselines.low_everywhere import LowEverywhereComponent
from hobbit_baselines.lru import LruComponent
from hobbit_baselines.lru_dp import LruDpComponent
from hobbit_baselines.next_gate import NextGateComponent
from hobbit_baselines.no_cache import NoCacheComponent
from hobbit_baselines.no_prefetch import NoPrefetchComponent
from hobbit_baselines.on_demand import OnDemandComponent
from hobbit_baselines.oracle import OracleComponent
from hobbit_baselines.passthrough import PassthroughComponent
from hobbit_baselines.path_prefetch import PathPrefetchComponent
from hobbit_baselines.popular import PopularComponent
from hobbit_baselines.pregate import PregateComponent
from hobbit_baselines.pregate_fetch import PregateFetchComponent
from hobbit_baselines.promote import PromoteComponent
from hobbit_baselines.random_cache import RandomComponent
from hobbit_baselines.resident import ResidentComponent
from hobbit_baselines.resident_precision import ResidentPrecisionComponent
from hobbit_baselines.shared import SharedComponent
from hobbit_baselines.static_layers import StaticLayersComponent
from hobbit_baselines.whole_layer import WholeLayerComponent


@hookimpl
def hobbit_loaders() -> Iterable[type[LoaderComponent]]:
    """Load what is missing, whole layers of it, or use what there is; or run it on the host."""
    return [
        OnDemandComponent,
        WholeLayerComponent,
        ResidentPrecisionComponent,
        HostComponent,
        FiddlerComponent,
        BalancedComponent,
        SharedComponent,
    ]


@hookimpl
def hobbit_prefetchers() -> Iterable[type[PrefetcherComponent]]:
    """No prefetching, and that of the published systems."""
    return [
        BesideHostComponent,
        NoPrefetchComponent,
        NextGateComponent,
        AdaptiveGateComponent,
        PregateFetchComponent,
        PromoteComponent,
        EamPrefetchComponent,
        PathPrefetchComponent,
        OracleComponent,
        FateComponent,
    ]


@hookimpl
def hobbit_caches() -> Iterable[type[CacheComponent]]:
    """No cache, the two classics, everything resident, the optimum, and those of the published systems."""
    return [
        NoCacheComponent,
        LruComponent,
        LfuComponent,
        ResidentComponent,
        BeladyComponent,
        LruDpComponent,
        LowEverywhereComponent,
        PopularComponent,
        StaticLayersComponent,
        EamCacheComponent,
        EdgeMoeComponent,
        RandomComponent,
        LeastStaleComponent,
        LfruComponent,
        FirstLayersComponent,
    ]


@hookimpl
def hobbit_routers() -> Iterable[type[RouterComponent]]:
    """The routing as the model's router gave it, and three ways to change it."""
    return [PassthroughComponent, AdaptiveGatingComponent, CacheConditionalComponent, PregateComponent]


@hookimpl
def hobbit_batchers() -> Iterable[type[BatcherComponent]]:
    """Waiting tokens in order of arrival, or together with those that share their experts."""
    return [FirstComeComponent, ExpertAwareComponent]
