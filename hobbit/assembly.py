"""Assembly: from a setup and a geometry to a runtime, live or for replays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from hobbit.api import (
    HIGH,
    BlobLayout,
    CachePolicy,
    Context,
    Device,
    DeviceComponent,
    DeviceReport,
    Effect,
    ExpertSource,
    Geometry,
    Loader,
    Past,
    Prefetcher,
    Quantizer,
    Records,
    Router,
    RoutingShape,
    SlotLayout,
    TensorSpec,
    no_past,
)
from hobbit.errors import ConfigError, SlotMemoryError
from hobbit.host_plan import HostPlan, HostRequest
from hobbit.memory import MemoryPlan, first_residents, plan_run, share_slots
from hobbit.runtime import Metrics, Observer, Residency, Runtime, Transfers
from hobbit.runtime.governor import GovernedPrefetcher, PrefetchGovernor
from hobbit.setup import Setup
from hobbit.sizes import format_size

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


USABLE = 0.95
"""Share of a device's free memory that slots may take when it has less than was planned."""


class LiveExperts(Protocol):
    """The experts of a live model, before they are encoded."""

    def specs(self) -> Mapping[str, TensorSpec]:
        """Name, shape and dtype of one expert's tensors."""
        ...

    host: HostPlan | None
    """What `source` takes of the host's memory, where that was planned."""
    notes: tuple[str, ...]
    """What the user should know of `source`."""

    def source(
        self, quantizer: Quantizer, layouts: Sequence[BlobLayout], request: HostRequest
    ) -> ExpertSource:
        """Every expert's blobs at each layout's precision, in the host memory that `request` speaks of."""
        ...


@dataclass(slots=True)
class Assembly:
    """A runtime with what was decided while building it. `close` gives memory and threads back.

    `start` is the device's report before the first pass, when the experts of a warm cache are in place;
    `host` what experts take of the host's memory, where that was planned. `exact`: every chosen expert runs
    at the high precision, and none but those. `governor` watches over prefetching where the run need not be
    deterministic.
    """

    runtime: Runtime
    metrics: Metrics
    plan: MemoryPlan
    context: Context
    quantizer: Quantizer
    source: ExpertSource | None
    decided: list[str]
    start: DeviceReport
    exact: bool
    host: HostPlan | None = None
    governor: PrefetchGovernor | None = None

    @property
    def notes(self) -> list[str]:
        """For the user: what was decided while building it, and what became of prefetching so far."""
        governed = self.governor.note() if self.governor else None
        return [*self.decided, *([governed] if governed else [])]

    def report(self) -> DeviceReport:
        """What the passes have taken so far; placing experts before them is not counted."""
        return _report(self.runtime.device, self.source).since(self.start)

    @property
    def precisions(self) -> tuple[str, ...]:
        """Names of the precision levels in use, high first."""
        return self.context.precisions

    def close(self) -> None:
        """Release the device, then what it read from."""
        self.runtime.device.close()
        if self.source is not None:
            self.source.close()


def assemble(
    setup: Setup,
    geometry: Geometry,
    *,
    tokens: int,
    live: LiveExperts | None = None,
    observers: Sequence[Observer] = (),
    future: npt.NDArray[np.int64] | None = None,
    past: Past = no_past,
) -> Assembly:
    """Build every component, plan the memory and connect them.

    `geometry` is what bytes and flops are charged from, `tokens` the KV cache to reserve for, `live` the
    experts of a live model (None: a replay), `future` the recorded demand stream for oracles, `past` the
    routing of other requests for components that learn.

    Raises:
        ConfigError: if components or options do not fit one another.
        BudgetError: if the memory cannot hold what must be resident.
        DeviceError: if the device is absent.
    """
    parts = _build(setup, geometry, future, past)
    try:
        return _connect(parts, setup, tokens, live, observers)
    except BaseException:
        parts.close()
        raise


@dataclass(slots=True)
class _Parts:
    """The components of one run, built but not yet connected; `source` comes with the connection."""

    context: Context
    quantizer: Quantizer
    device: Device
    loader: Loader
    router: Router
    prefetcher: Prefetcher
    cache: CachePolicy
    source: ExpertSource | None = None

    def close(self) -> None:
        """Release the device, then what it read from."""
        self.device.close()
        if self.source is not None:
            self.source.close()


def _build(setup: Setup, geometry: Geometry, future: npt.NDArray[np.int64] | None, past: Past) -> _Parts:
    """Build every component in the order that `Context` promises; afterwards it holds the levels in use."""
    records = Records(geometry.shape, setup.records)
    context = Context(
        geometry, _precisions(setup), (), records, setup.seed, setup.deterministic,
        future=future, past=past, unified=setup.device.unified,
    )  # fmt: skip
    quantizer = setup.quantizer.build(context)
    context.blob_bytes = _blob_bytes(quantizer, geometry, context.precisions)
    device = _device(setup).build(context)
    context.costs = device.costs
    loader = context.loader = setup.loader.build(context)
    context.precisions = context.precisions[: loader.levels]
    context.blob_bytes = context.blob_bytes[: loader.levels]
    if loader.levels > len(context.blob_bytes):
        quantizer.layout(geometry.expert_tensors(), context.precisions[-1])  # raises: says what does not fit
    router = context.router = setup.router.build(context)
    return _Parts(
        context,
        quantizer,
        device,
        loader,
        router,
        setup.prefetcher.build(context),
        setup.cache.build(context),
    )


def _connect(
    parts: _Parts, setup: Setup, tokens: int, live: LiveExperts | None, observers: Sequence[Observer]
) -> Assembly:
    """Plan the memory, fill the slots' source, and put the runtime over it all."""
    context, device, staging = parts.context, parts.device, parts.prefetcher.staging
    shape = context.shape
    plan = plan_run(setup, context, parts.cache, tokens, staging)
    plan = _prepare(parts, setup, plan, tokens, live)
    allocations = share_slots(plan, parts.cache, context.geometry)
    residency = Residency(shape, allocations, parts.cache, staging)
    transfers = Transfers(device, residency, context.blob_bytes, setup.transfers.window, staging > 0)
    metrics = Metrics(context.blob_bytes, device)
    prefetcher, governor = parts.prefetcher, None
    if not setup.deterministic:
        governor = PrefetchGovernor(lambda: device.report().stall_ns)
        prefetcher = GovernedPrefetcher(prefetcher, governor)
        observers = (governor, *observers)
    runtime = Runtime(
        shape, device, parts.loader, prefetcher, parts.cache, parts.router, context.records, residency,
        transfers, (metrics, *observers),
    )  # fmt: skip
    notes = [*context.notes, *plan.warnings, *(live.notes if live else ())]
    placed = transfers.warm(first_residents(parts.cache, allocations))
    if placed:
        notes.append(f"{placed} experts placed before the first token")
    start = _report(device, parts.source)
    exact = parts.loader.level_for(1.0) == HIGH and setup.router.effect is not Effect.QUALITY
    return Assembly(
        runtime, metrics, plan, context, parts.quantizer, parts.source, notes, start, exact,
        live.host if live else None, governor,
    )  # fmt: skip


def _report(device: Device, source: ExpertSource | None) -> DeviceReport:
    """The device's report, with the store's own streams where they run on the same clock."""
    report = device.report()
    if source is not None and not report.simulated:
        source.add_streams(report)
    return report


def _prepare(
    parts: _Parts, setup: Setup, plan: MemoryPlan, tokens: int, live: LiveExperts | None
) -> MemoryPlan:
    """Open the source of the live model's blobs, if there is one, and let the device allocate its slots.

    Returns the plan in force: where the device has less memory than it said, one for what it has.
    """
    specs = live.specs() if live else parts.context.geometry.expert_tensors()
    layouts = tuple(parts.quantizer.layout(specs, precision) for precision in parts.context.precisions)
    staging = parts.prefetcher.staging
    slots = SlotLayout((plan.slots[0] + staging, *plan.slots[1:]), layouts)
    if live is not None:
        request = _host_request(setup, slots, parts.context.shape)
        parts.source = live.source(parts.quantizer, layouts, request)
    try:
        parts.device.prepare(slots, parts.quantizer, parts.source, setup.block_bytes)
    except SlotMemoryError as error:
        lacking = slots.nbytes - int(error.free * USABLE)
        if not error.free or lacking <= 0:
            raise
        plan = plan_run(setup, parts.context, parts.cache, tokens, staging, lacking)
        slots = SlotLayout((plan.slots[0] + staging, *plan.slots[1:]), layouts)
        parts.context.notes.append(f"{error}; went on with {format_size(slots.nbytes)}, all that is free")
        parts.device.prepare(slots, parts.quantizer, parts.source, setup.block_bytes)
    return plan


def _host_request(setup: Setup, slots: SlotLayout, shape: RoutingShape) -> HostRequest:
    """What experts may take of the host's memory. A simulated device's memory.host is a simulated host's."""
    device = setup.device
    return HostRequest(
        limit="auto" if device.simulated else setup.memory.host,
        slots=slots.nbytes if device.host_slots or device.unified else 0,
        direct=device.host_slots,
        placed=device.host_slots and min(slots.slots) >= shape.layers * shape.experts,
    )


def _device(setup: Setup) -> DeviceComponent:
    if setup.memory.host == "auto":
        return setup.device
    return replace(setup.device, host_memory=setup.memory.host)


def _precisions(setup: Setup) -> tuple[str, str]:
    high = setup.device.high if setup.precision.high == "auto" else setup.precision.high
    low = setup.device.low if setup.precision.low == "auto" else setup.precision.low
    return high, low


def _blob_bytes(quantizer: Quantizer, geometry: Geometry, precisions: Sequence[str]) -> tuple[int, ...]:
    """Sizes of the levels; a low precision that does not fit the shapes is left out, as it may go unused."""
    tensors = geometry.expert_tensors()
    high = quantizer.layout(tensors, precisions[0]).nbytes
    try:
        return high, *(quantizer.layout(tensors, low).nbytes for low in precisions[1:])
    except ConfigError:
        return (high,)
