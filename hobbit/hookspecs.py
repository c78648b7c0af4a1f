"""The hooks that a plugin may implement. Called at build time only, never per layer or per token."""

from __future__ import annotations

from collections.abc import Iterable

from hobbit.api.component import (
    BatcherComponent,
    CacheComponent,
    DeviceComponent,
    LoaderComponent,
    PrefetcherComponent,
    QuantizerComponent,
    RouterComponent,
)
from hobbit.api.markers import hookspec


@hookspec
def hobbit_loaders() -> Iterable[type[LoaderComponent]]:  # type: ignore[empty-body]
    """Loader components: what a miss becomes (a precision, a skip, a run on the host)."""


@hookspec
def hobbit_prefetchers() -> Iterable[type[PrefetcherComponent]]:  # type: ignore[empty-body]
    """Prefetcher components: which experts to bring early, and how deep to look."""


@hookspec
def hobbit_caches() -> Iterable[type[CacheComponent]]:  # type: ignore[empty-body]
    """Cache components: who is evicted, and how slots are shared."""


@hookspec
def hobbit_quantizers() -> Iterable[type[QuantizerComponent]]:  # type: ignore[empty-body]
    """Quantizer components: how an expert is encoded at a precision."""


@hookspec
def hobbit_devices() -> Iterable[type[DeviceComponent]]:  # type: ignore[empty-body]
    """Device components: memory, streams, copies, kernels and the clock."""


@hookspec
def hobbit_routers() -> Iterable[type[RouterComponent]]:  # type: ignore[empty-body]
    """Router components: changes to the routing itself."""


@hookspec
def hobbit_batchers() -> Iterable[type[BatcherComponent]]:  # type: ignore[empty-body]
    """Batcher components: which waiting tokens of a queue of requests run together."""


@hookspec
def hobbit_config_paths() -> Iterable[str]:  # type: ignore[empty-body]
    """Hydra search paths with a plugin's own presets and options, such as "pkg://my_plugin.conf"."""
