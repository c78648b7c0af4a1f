"""The simulated device at work: every call charges the virtual clock; the maths, if any, runs on the CPU."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, lru_cache
from typing import TYPE_CHECKING

from hobbit.api import Copy, CostModel, DeviceReport, ExpertPayload, ExpertSource, Job, Quantizer, SlotLayout
from hobbit_devices.expert_home import ExpertHome
from hobbit_devices.sim_costs import SimCosts
from hobbit_devices.streams import Interval, Transfer
from hobbit_devices.virtual_clock import VirtualClock

if TYPE_CHECKING:
    from hobbit_devices.sim_maths import SimMaths


class Simulator:
    """A `Device` on the virtual clock. Sizes are the reference geometry's; content is the live model's.

    A copy's content is in its slot as soon as it is issued, its time of arrival is the clock's affair:
    the order of calls decides what is computed, never the clock.
    """

    simulated = True
    queues = False
    place = "cpu"

    def __init__(
        self,
        costs: SimCosts,
        blob_bytes: tuple[int, ...],
        clock: VirtualClock,
        home: ExpertHome,
        unified: bool,
    ) -> None:
        self.costs: CostModel = costs
        self._costs = costs
        self._device_ns = cache(costs.device_ns)
        self._layer_ns = lru_cache(maxsize=1)(costs.layer_ns)  # all layers of a pass cost the same
        self._blob_bytes = blob_bytes
        self._clock = clock
        self._home = home
        self._unified = unified
        self._bus_debt_ns = 0
        self._in_place: list[tuple[Job, Transfer | None]] = []
        self._maths: SimMaths | None = None

    def prepare(
        self, layout: SlotLayout, quantizer: Quantizer, source: ExpertSource | None, block_bytes: int = 0
    ) -> None:
        """Set the block size of copies; with a source, allocate slots for the live model on the CPU."""
        for mover in self._clock.movers:
            mover.block_bytes = block_bytes
        if source is not None:
            from hobbit_devices.sim_maths import SimMaths  # imports torch

            self._maths = SimMaths(layout, quantizer, source)

    def begin_pass(self, tokens: int, context: int) -> None:
        """Charge the layers without experts, which come first."""
        duration = self._costs.dense_layers_ns(tokens, context)
        if duration:
            self._clock.compute(duration, "dense layers")

    def begin_layer(self, layer: int, tokens: int, context: int) -> None:
        """Charge attention, norms, router, shared experts and the per-layer overhead."""
        self._clock.compute(self._layer_ns(tokens, context), layer)

    def load(self, copy: Copy) -> None:
        """Queue a copy at the first stage of its way."""
        transfer = Transfer(copy.key, copy.nbytes, copy.urgent, self._home.to_device(copy.key), copy)
        copy.handle = transfer
        self._clock.submit(transfer)
        if self._maths is not None:
            self._maths.load(copy)

    def hurry(self, copy: Copy) -> None:
        """Serve a prefetch with the urgent ones from now on."""
        copy.urgent = True
        self._clock.promote(copy.handle)

    def cancel(self, copy: Copy) -> None:
        """Drop what has not been moved; bytes under way are moved and counted."""
        self._clock.cancel(copy.handle)

    def run(self, layer: int, jobs: Sequence[Job], payload: ExpertPayload | None) -> None:
        """Charge resident experts one after another, and do their maths."""
        compute, cost = self._clock.compute, self._device_ns
        for key, _, tokens, _ in jobs:
            compute(cost(key.level, tokens), key)
        if payload is not None and self._maths is not None:
            self._maths.run(jobs, payload)

    def run_host(self, layer: int, jobs: Sequence[Job], payload: ExpertPayload | None) -> None:
        """Start experts on the host, after the disk where they lie there.

        Where memory is unified, the host's reading of weights takes from the device's bandwidth: in this
        layer the device loses the time that the bytes take on the shared bus. Of a shared expert the device
        reads its part over the link, once it has run those that are resident.
        """
        for job in jobs:
            level = job.key.level
            read = None
            if self._home.on_disk(job.key):
                read = Transfer(job.key, self._blob_bytes[level], True, self._home.to_host(job.key))
                self._clock.submit(read)
            self._clock.host(job.key, round(job.share * self._costs.host_work_ns(level, job.tokens)), read)
            if self._unified:
                self._bus_debt_ns += self._costs.bus_ns(level)
            elif job.share < 1:
                self._in_place.append((job, read))
        if payload is not None and self._maths is not None:
            self._maths.run_host(jobs, payload)

    def wait(self, copies: Sequence[Copy]) -> int:
        """Advance to the last arrival; returns the nanoseconds that took."""
        return self._clock.wait([copy.handle for copy in copies])

    def end_layer(self, layer: int) -> int:
        """Charge the shared bus, read shared experts in place, then join the host; returns the waiting."""
        waited = 0
        for job, read in self._in_place:
            rest = round((1 - job.share) * self._blob_bytes[job.key.level])
            transfer = Transfer(job.key, rest, True, self._home.link)
            waited += self._clock.wait([] if read is None else [read])
            self._clock.submit(transfer)
            waited += self._clock.wait([transfer])
        self._in_place.clear()
        if self._bus_debt_ns:
            self._clock.compute(self._bus_debt_ns, "bus shared with the host")
            self._bus_debt_ns = 0
        return waited + self._clock.join()

    def end_pass(self, tokens: int) -> None:
        """Charge the head, for the last position only: generation keeps no other logits."""
        self._clock.compute(self._costs.head_ns(), "head")

    def now_ns(self) -> int:
        """The virtual clock."""
        return self._clock.now_ns

    def timeline(self) -> list[Interval]:
        """What ran when, on which stream; empty unless the profile's `timeline` is on."""
        return self._clock.log or []

    def report(self) -> DeviceReport:
        """Totals so far; stretches still under way are not in them."""
        clock = self._clock
        clock.advance(clock.now_ns)
        busy = {"compute": clock.compute_ns, "host": clock.host_busy_ns}
        busy.update({mover.name: mover.busy_ns for mover in clock.movers})
        moved = {mover.name: mover.moved_bytes for mover in clock.movers}
        return DeviceReport(True, clock.now_ns, clock.stall_ns, busy, moved)

    def close(self) -> None:
        """Give the slots back."""
        self._maths = None
