"""A GPU as the device: copies and computation in queues that wait for each other, never for the host."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import attrgetter
from time import perf_counter_ns

import numpy as np
import numpy.typing as npt
import torch

from hobbit.api import (
    Copy,
    CostModel,
    DeviceReport,
    ExpertPayload,
    ExpertSource,
    Job,
    Quantizer,
    SettledExperts,
    SlotLayout,
)
from hobbit.errors import DeviceError
from hobbit_devices.arena import SlotArena
from hobbit_devices.bounce import BounceRing
from hobbit_devices.calibration import Calibration
from hobbit_devices.copy_queue import CopyQueue
from hobbit_devices.fused_layer import FusedLayers
from hobbit_devices.gpu_costs import GpuCosts
from hobbit_devices.gpu_streams import GpuStreams
from hobbit_devices.host_lane import HostLane
from hobbit_devices.interval_log import IntervalLog
from hobbit_devices.job_groups import by_level, place_of
from hobbit_devices.layer_runner import LayerRunner
from hobbit_devices.locked_pages import LockedPages
from hobbit_devices.recorded_layers import RecordedLayers
from hobbit_devices.slot_marks import SlotMarks
from hobbit_devices.transfer import Transfer

LARGE = 16 * 2**20
"""Bytes of a blob from which experts that are there run while others still move, and each as it arrives; with
smaller ones the launches cost more than that hides."""

BOUNCE = 8 * 2**20
"""Bytes of each pinned buffer that copies from pageable memory pass through."""

Choice = Callable[[SlotLayout, SlotArena], FusedLayers | None]
"""Kernels for the slots, if there are any."""


class StreamedDevice:
    """Meets the `Device` Protocol on the queues of a GPU.

    `load` puts copies into the copy queue, `wait` only takes note, and `run` lets the compute queue wait for
    each expert as late as it can; marks around those waits tell the time lost. The host waits for blobs that
    the store has yet to read, and at the end of a pass. With a `calibration`, `prepare` measures `costs`.
    """

    simulated = False
    queues = True

    def __init__(
        self,
        torch_device: torch.device,
        costs: GpuCosts,
        streams: GpuStreams,
        lane: HostLane,
        choose: Choice,
        calibration: Calibration | None = None,
        pages: LockedPages | None = None,
    ) -> None:
        self.torch_device = torch_device
        self.place = str(torch_device)
        self.costs: CostModel = costs
        self._costs = costs
        self._streams = streams
        self._lane = lane
        self._choose = choose
        self._calibration = calibration
        self._pages = pages
        self._started_ns = perf_counter_ns()
        self._marks = SlotMarks(streams)
        self._stalls = IntervalLog(streams)
        self._host_stall_ns = 0
        self._told_ns = 0
        self._started = self._ended = False
        self._small = False
        self._awaited = False  # copies that this layer has queued, and not yet waited for
        self._deferred: list[Job] = []
        self._payload: ExpertPayload | None = None
        self._recorded: RecordedLayers | None = None
        self._arena: SlotArena | None = None
        self._queue: CopyQueue | None = None

    def prepare(
        self, layout: SlotLayout, quantizer: Quantizer, source: ExpertSource | None, block_bytes: int = 0
    ) -> None:
        """See `Device`. Raises DeviceError in a replay: without weights there is nothing to execute."""
        if source is None:
            raise DeviceError(
                f"device={self.torch_device.type} runs real weights only; replay a trace with device=sim"
            )
        self._arena = arena = SlotArena(layout, quantizer, self.torch_device)
        self._small = all(blob.nbytes < LARGE for blob in layout.layouts)
        fused = self._choose(layout, arena)
        self._runner = LayerRunner(arena, layout, quantizer, source, self._streams, self._lane, fused)
        if self._pages is not None:
            self._pages.check(layout, source, self._streams)
        in_place = [self._runner.shares(level) for level in range(len(layout.layouts))]
        if self._calibration is not None:
            self._calibration.run(layout, arena, source, self._streams, self._runner.host, in_place)
        else:
            self._costs.read_in_place(level for level, reads in enumerate(in_place) if reads is not None)
        self._queue = CopyQueue(self._streams, source, block_bytes, BounceRing(self._streams, BOUNCE))

    def begin_pass(self, tokens: int, context: int) -> None:
        """See `Device`. Costs hear of the last pass while the device is at work on this one."""
        if self._ended:
            self._costs.follow(self._runner.host.end_pass())
        self._started, self._ended, self._awaited = True, False, False
        self._deferred.clear()
        self._runner.begin_pass()

    def begin_layer(self, layer: int, tokens: int, context: int) -> None:
        """Nothing to charge. The routing is known: what was recorded before has been read, and has run."""
        self._marks.begin_layer()
        self._runner.host.settle()  # whoever copies may want the memory of what was lent
        if self._recorded is not None:
            self._recorded.clear()

    def load(self, copy: Copy) -> None:
        """See `Device`. Returns once the copy is queued; it starts behind the slot's last reader."""
        transfer = Transfer(copy, self._slots().blob(copy.key.level, copy.slot), urgent=copy.urgent)
        copy.handle = transfer
        if self._recorded is not None and self._marks.unread((copy.key.level, copy.slot)):
            self._runner.run_now()  # it comes before the recording
        self._marks.write(transfer)
        self._awaited |= copy.urgent
        self._copies().queue(transfer)

    def hurry(self, copy: Copy) -> None:
        """See `Device`."""
        self._awaited = True
        self._copies().hurry(copy.handle)

    def cancel(self, copy: Copy) -> None:
        """See `Device`."""
        self._copies().cancel(copy.handle)

    def run(self, layer: int, jobs: Sequence[Job], payload: ExpertPayload | None) -> None:
        """See `Device`. Queued, not awaited: those that are there first, then the others as they arrive.

        Small experts run in one call, once the layer's copies have been waited for.
        """
        if payload is None:
            return
        self._slots()
        self._deferred += jobs
        self._payload = payload
        if not (self._small and self._awaited):
            self._run_deferred()

    def settles(self, activation: str | None, tokens: int) -> bool:
        """See `SettlingDevice`."""
        self._slots()
        return self._runner.settles(activation, tokens)

    def settled(self, slots: npt.NDArray[np.int32]) -> SettledExperts:
        """See `SettlingDevice`."""
        self._slots()
        return self._runner.settled(slots, self.torch_device)

    def recorded(self, activation: str | None, tokens: int, top_k: int) -> RecordedLayers | None:
        """See `RecordingDevice`. Large experts are launched as they arrive, which hides more."""
        self._slots()
        if self._small:
            self._recorded = self._runner.recorded(activation, tokens, top_k)
        return self._recorded

    def run_host(self, layer: int, jobs: Sequence[Job], payload: ExpertPayload | None) -> None:
        """See `Device`."""
        if payload is not None and jobs:
            self._runner.run_host(jobs, payload)

    def wait(self, copies: Sequence[Copy]) -> int:
        """See `Device`. `run` waits, in the compute queue, and `end_layer` tells how long; before the first
        pass the host does."""
        now = self.now_ns()
        for copy in copies:
            if not self._started:
                self._streams.join(self._copies().arrival(copy.handle))
            if not copy.done:
                copy.done, copy.ready_ns = True, now
        self._awaited = False
        return 0

    def end_layer(self, layer: int) -> int:
        """See `Device`. Time lost by the compute queue is told once it is known, some layers later."""
        self._run_deferred()
        self._host_stall_ns += self._runner.end_layer()
        return self._newly_lost()

    def end_pass(self, tokens: int) -> None:
        """Wait for what is still being computed, so that the clock can be read."""
        self._streams.finish()
        self._ended = True

    def now_ns(self) -> int:
        """See `Device`: the wall clock since the device was built."""
        return perf_counter_ns() - self._started_ns

    def report(self) -> DeviceReport:
        """See `Device`. Streams: "link" moves blobs, to slots or kernels; "host" runs experts."""
        report = DeviceReport(
            simulated=False,
            now_ns=self.now_ns(),
            stall_ns=self._stalls.settle() + self._host_stall_ns,
            busy_ns={"link": 0, "host": self._lane.busy_ns},
            moved_bytes={"link": 0, "host": 0},
        )
        if (queue := self._queue) is not None:
            runner = self._runner
            report.stall_ns += runner.host.waits.settle()
            report.busy_ns["link"] = queue.settle() + runner.host.in_place_ns()
            report.moved_bytes["link"] = queue.moved_bytes + runner.host.in_place_bytes
            report.moved_bytes["host"] = runner.hosted_bytes
        return report

    def close(self) -> None:
        """See `Device`; safe to call again."""
        if self._queue is not None:
            self._queue.close()
            self._runner.close()
        self._lane.close()
        self._arena = None

    def _slots(self) -> SlotArena:
        if self._arena is None:
            raise DeviceError("the device has no slots: it was closed, or never prepared; build a new one")
        return self._arena

    def _copies(self) -> CopyQueue:
        self._slots()
        assert self._queue is not None
        return self._queue

    def _run_deferred(self) -> None:
        jobs, payload = self._deferred, self._payload
        if not jobs or payload is None:
            return
        self._deferred, self._payload = [], None
        for batch in self._batches(jobs):
            self._follow(batch)
            for same in by_level(batch):
                self._runner.run(same, payload)
            self._marks.read(map(place_of, batch))

    def _batches(self, jobs: Sequence[Job]) -> list[list[Job]]:
        """Jobs to be run together, in the order to run them."""
        if self._small:
            return [list(jobs)]
        ready, late = [], []
        for job in jobs:
            transfer = self._marks.arriving(place_of(job))
            if transfer is None or (transfer.arrived is not None and self._streams.passed(transfer.arrived)):
                ready.append(job)
            else:
                late.append((transfer.arrived is None, transfer.copy.nbytes, job))
        late.sort(key=lambda entry: entry[0])  # those whose blob the store has yet to bring come last
        batches = [ready] if ready else []
        apart = [[job] for _, nbytes, job in late if nbytes >= LARGE]
        together = [job for _, nbytes, job in late if nbytes < LARGE]
        return batches + ([together] if together else []) + apart

    def _follow(self, jobs: Sequence[Job]) -> None:
        """Let the compute queue wait for the copies into these jobs' slots.

        They come one after another, so that the last one is waited for, and those that are not queued yet.
        """
        coming = [transfer for job in jobs if (transfer := self._marks.arriving(place_of(job))) is not None]
        if not coming:
            return
        awaited = [transfer for transfer in coming if transfer.arrived is None]
        last = max(coming, key=attrgetter("order"))
        if last.arrived is not None and not self._streams.passed(last.arrived):
            awaited.append(last)
        if awaited:
            before = self._streams.computed()
            for transfer in awaited:
                self._streams.follow(self._copies().arrival(transfer))
            self._stalls.add(before, self._streams.computed())
        for job in jobs:
            self._marks.arrived(place_of(job))

    def _newly_lost(self) -> int:
        """Nanoseconds lost that became known since the last call; nothing is asked of the driver."""
        lost = self._stalls.total_ns + self._host_stall_ns + self._runner.host.waits.total_ns
        lost, self._told_ns = lost - self._told_ns, lost
        return lost
