"""Components: typed option sets that build one side of a seam. Strings select, objects act."""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from hobbit.api.past import Past, no_past
from hobbit.geometry import Geometry
from hobbit.types import Effect, RoutingShape

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from hobbit.api.batcher import Batcher
    from hobbit.api.cache import CachePolicy
    from hobbit.api.costs import CostModel
    from hobbit.api.device import Device
    from hobbit.api.loader import Loader
    from hobbit.api.prefetcher import Prefetcher
    from hobbit.api.quantizer import Quantizer
    from hobbit.api.records import Records
    from hobbit.api.router import Router

T = TypeVar("T")


@dataclass(slots=True)
class Context:
    """What a component may look at while it is built.

    `geometry` is the model whose bytes and flops are charged; `precisions` the names of the levels, high
    first; `blob_bytes` their blob sizes; `records` the shared use records. `loader`, `router` and `costs` are
    set once those exist (build order: quantizer, device, loader, router, prefetcher, cache). `future` is the
    recorded demand stream, for oracles only: flat expert ids in order of use. `past()` is routing of other
    requests to learn from, never the one to come; empty where there is none. `unified`: device and host
    share one memory.
    """

    geometry: Geometry
    precisions: tuple[str, ...]
    blob_bytes: tuple[int, ...]
    records: Records
    seed: int = 0
    deterministic: bool = True
    costs: CostModel | None = None
    loader: Loader | None = None
    router: Router | None = None
    future: npt.NDArray[np.int64] | None = None
    past: Past = no_past
    unified: bool = False
    notes: list[str] = field(default_factory=list)
    _shared: dict[Hashable, Any] = field(default_factory=dict)

    def share(self, key: Hashable, make: Callable[[], T]) -> T:
        """What components of one run have in common: the first that asks for `key` makes it."""
        if key not in self._shared:
            self._shared[key] = make()
        shared: T = self._shared[key]
        return shared

    @property
    def shape(self) -> RoutingShape:
        """Layers, experts and top-K of the model."""
        return self.geometry.shape


@dataclass
class Component:
    """Base of every component: a dataclass whose fields are its options (typed, with defaults).

    Subclasses set `name`, and say in `effect` and `source` what they may change and where they come from.
    The first line of the docstring is shown by `hobbit plugins`. Modules of components import torch only
    inside `build`, so that listing them stays fast.
    """

    kind: ClassVar[str] = ""
    name: ClassVar[str] = ""
    effect: ClassVar[Effect] = Effect.HINT
    source: ClassVar[str] = ""

    def build(self, context: Context) -> Any:
        """The object that acts. Raises ConfigError if the options do not fit the context."""
        raise NotImplementedError


@dataclass
class LoaderComponent(Component):
    """Builds a `Loader`."""

    kind: ClassVar[str] = "loader"

    def calibrates(self, bundled: bool, chosen: Collection[str]) -> bool:
        """True if options are to be fitted to the routing before `build`; see `calibrated`.

        `bundled` tells whether the routing is the bundled model's, `chosen` which options the user set.
        """
        return False

    def calibrated(self, scores: npt.NDArray[np.float64]) -> LoaderComponent:
        """This loader with options fitted to the unimportance of its coming selections, `scores` [n]."""
        return self

    def build(self, context: Context) -> Loader:
        """The loader."""
        raise NotImplementedError


@dataclass
class PrefetcherComponent(Component):
    """Builds a `Prefetcher`. `needs_future` marks oracles, which are built with `context.future`."""

    kind: ClassVar[str] = "prefetcher"
    needs_future: ClassVar[bool] = False

    def build(self, context: Context) -> Prefetcher:
        """The prefetcher."""
        raise NotImplementedError


@dataclass
class CacheComponent(Component):
    """Builds a `CachePolicy`.

    `low_share` is the share of the expert bytes given to the low-precision cache where the loader uses
    two precisions. HOBBIT leaves it open; the same default for every policy keeps comparisons fair. The
    smaller the better on the bundled train traces (benchmarks.tuning.cache_weights), since a high copy serves
    every demand; 0.05 still leaves an 11 GiB card a few low slots.
    `needs_future` marks oracles, which are built with `context.future`; `unlimited` marks caches that get
    a slot for every expert, whatever the memory budget says; `low_everywhere` those that want a low slot for
    every expert before high ones are shared out (with a loader of two levels).
    """

    kind: ClassVar[str] = "cache"
    needs_future: ClassVar[bool] = False
    unlimited: ClassVar[bool] = False
    low_everywhere: ClassVar[bool] = False
    low_share: float = 0.05

    def build(self, context: Context) -> CachePolicy:
        """The cache policy."""
        raise NotImplementedError


@dataclass
class QuantizerComponent(Component):
    """Builds a `Quantizer`."""

    kind: ClassVar[str] = "quantizer"

    def build(self, context: Context) -> Quantizer:
        """The quantizer; called before `context.blob_bytes` is known."""
        raise NotImplementedError


@dataclass
class DeviceComponent(Component):
    """Builds a `Device`. Its options are the device's numbers; every device has at least these.

    Sizes are texts such as "24GiB" or "12GB" ("auto": measured). `unified` memory is shared with the host,
    which keeps `reserve` of it. `host_memory` is what the host may spend on experts that are not on the
    device. `high` and `low` are the device's precision pair. `pinned` devices copy at full speed from
    page-locked host memory only; `host_slots` marks those whose slots really lie in the host's memory.
    After `block` bytes an urgent copy may interrupt a prefetch, unless the run says otherwise ("0": never).
    """

    kind: ClassVar[str] = "device"
    simulated: ClassVar[bool] = False
    pinned: ClassVar[bool] = False
    host_slots: ClassVar[bool] = False
    label: str = ""
    memory: str = "auto"
    reserve: str = "0"
    host_memory: str = "auto"
    unified: bool = False
    high: str = "native"
    low: str = "int4"
    block: str = "0"

    def capacity_bytes(self) -> int:
        """Bytes of device memory that a run may use: `memory` less `reserve`; measured where it is auto."""
        raise NotImplementedError

    def available(self) -> str | None:
        """None if the device can be used here, else why not, in a few words. Must not import torch."""
        return None

    def records_steps(self) -> bool:
        """True if decode steps are to be replayed from recordings, for which the device has to be CUDA."""
        return False

    def build(self, context: Context) -> Device:
        """The device."""
        raise NotImplementedError


@dataclass
class RouterComponent(Component):
    """Builds a `Router`."""

    kind: ClassVar[str] = "router"

    def build(self, context: Context) -> Router:
        """The router transform."""
        raise NotImplementedError


@dataclass
class BatcherComponent(Component):
    """Builds a `Batcher`, which is asked where a queue of requests waits (`workload.waiting`)."""

    kind: ClassVar[str] = "batcher"

    def build(self, context: Context) -> Batcher:
        """The batcher; called before anything else is built: of the context, geometry and seed are known."""
        raise NotImplementedError
