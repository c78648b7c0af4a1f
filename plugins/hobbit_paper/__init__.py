"""HOBBIT's three techniques (arXiv 2411.01433) and the cache policy of its successor MoE-APEX."""

from __future__ import annotations

from collections.abc import Iterable

from hobbit.api import CacheComponent, LoaderComponent, PrefetcherComponent, hookimpl
from hobbit_paper.lcu import LcuComponent
from hobbit_paper.mixed_precision import MixedPrecisionComponent
from hobbit_paper.multidim import MultidimComponent
from hobbit_paper.stacked_gate import StackedGateComponent


@hookimpl
def hobbit_loaders() -> Iterable[type[LoaderComponent]]:
    """Mixed-precision loading, HOBBIT section 3.2."""
    return [MixedPrecisionComponent]


@hookimpl
def hobbit_prefetchers() -> Iterable[type[PrefetcherComponent]]:
    """Adaptive prefetching, HOBBIT section 3.3."""
    return [StackedGateComponent]


@hookimpl
def hobbit_caches() -> Iterable[type[CacheComponent]]:
    """Multidimensional caching, HOBBIT section 3.4, and MoE-APEX's variant of it."""
    return [MultidimComponent, LcuComponent]
