"""Experts that run on the host while others are copied: activations go there, outputs come back."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from itertools import groupby
from time import perf_counter_ns

import torch

from hobbit.api import ExpertPayload, ExpertSource, Job, Quantizer, SlotLayout
from hobbit_devices.expert_cut import ExpertCut
from hobbit_devices.expert_parts import ALL, ExpertPart, Parting
from hobbit_devices.fused_layer import FusedLayers
from hobbit_devices.gpu_streams import GpuStreams, Mark
from hobbit_devices.host_ffn import HostFfn
from hobbit_devices.host_kernels.compiled_lane import CompiledLane, HostPart
from hobbit_devices.host_lane import HostLane
from hobbit_devices.interval_log import IntervalLog
from hobbit_devices.lent_blobs import LentBlobs
from hobbit_devices.pinned_buffer import PinnedBuffer
from hobbit_devices.shared_work import SharedWork


class HostExperts:
    """The host's share of fused layers. `start` queues what it needs and returns; `finish` waits.

    One copy of the layer's hidden state to pinned memory, whatever the number of experts, unless it is there,
    and one of all outputs back. Of a shared expert (see `Parting`) the device computes the other units in
    place, in the queue beside, so that host and link start together and the layer's other experts run
    meanwhile; the host's part is added at the end. Where the lane can, it runs one token's layers without
    Python, whose lock it would wait for. Until both have begun nothing is done that can wait.

    `moved_bytes` counts the weights that the host read, `in_place_bytes` those that the device did, `waits`
    how long the device has waited for the host.
    """

    def __init__(
        self,
        layout: SlotLayout,
        quantizer: Quantizer,
        source: ExpertSource,
        streams: GpuStreams,
        lane: HostLane,
    ) -> None:
        self._source = source
        self._streams = streams
        self._lane = lane
        self._ffns = [HostFfn(blob, quantizer, lane.kernels, lane.team) for blob in layout.layouts]
        self._cuts = [ExpertCut.of(blob, ffn) for blob, ffn in zip(layout.layouts, self._ffns, strict=True)]
        self._nbytes = [blob.nbytes for blob in layout.layouts]
        self._parting = Parting(self._cuts, source)
        self._work = SharedWork.none(len(self._cuts))
        self._lent = LentBlobs(source, streams)
        self._busy = IntervalLog(streams)
        self._hidden = PinnedBuffer(streams)
        self._outputs = PinnedBuffer(streams)
        self._layer: FusedLayers | None = None
        self._parts: list[ExpertPart] = []
        self._posted = False  # to the lane that needs no Python
        self._read: Mark | None = None  # behind what the device reads in place
        self._counter, self._done = (streams.pinned((1,), torch.int32).zero_() for _ in range(2))
        self._counted = self._counter.numpy()
        self._number = 0  # of the last layer that was posted
        self.waits = IntervalLog(streams)
        self.moved_bytes = 0
        self.in_place_bytes = 0

    def cut(self, level: int) -> ExpertCut | None:
        """Where experts of this level can be parted; None: nowhere."""
        return self._cuts[level]

    def start(self, jobs: Sequence[Job], payload: ExpertPayload, layer: FusedLayers) -> None:
        """Let the host run its part of these experts of the layer, and the device its own."""
        self._source.expect([job.key for job in jobs])
        there = payload.host_hidden
        hidden = self._fetched(payload.hidden) if there is None else there
        self._layer = layer
        parts = self._parts = self._parting(jobs, layer, len(hidden))
        count = len(parts) if len(hidden) == 1 else sum(len(part.batch.tokens) for part in parts)
        outputs = self._out(count, hidden.shape[1])
        self._posted = self._post(parts, hidden, there is not None)
        if not self._posted:
            mark = self._streams.computed()
            self._lane.start(lambda: self._run(mark, hidden, parts, outputs), nullcontext())
        if parts[-1].units != ALL:
            self._read_in_place([part for part in parts if part.units != ALL], layer, there is not None)

    def finish(self) -> int:
        """Queue the host's outputs, once they are there; nanoseconds waited for them.

        Where the lane runs without Python the device waits, not this thread.
        """
        parts, layer = self._parts, self._layer
        if layer is None:
            return self._lane.join()
        self._layer = None
        if self._read is not None:
            self._streams.follow(self._read)
            self._read = None
        waited = self._follow() if self._posted else self._lane.join()
        row = parts[0].batch.row
        alone = sum(len(part.batch.tokens) for part in parts if part.units == ALL)
        together = sum(part.units != ALL for part in parts)
        outputs = self._out(alone + together, layer.width)
        if alone:
            self._streams.upload(layer.rows(row, alone), outputs[:alone])
        if together:
            self._streams.add(layer.rows(row + alone, together), outputs[alone:])
        self._lend_on()
        self._count(parts)
        return waited

    def trial(self, level: int, blob: torch.Tensor, x: torch.Tensor) -> int:
        """Nanoseconds from x [t, d] on the device to the expert's outputs there, all of it by the host."""
        outputs = torch.empty(x.shape, dtype=torch.float32, device=x.device)
        self._streams.finish()
        start = perf_counter_ns()
        hidden, out = self._fetched(x), self._out(*x.shape)
        ffn, lane = self._ffns[level], self._lane.compiled
        if ffn.compiled is not None and lane is not None and len(x) == 1:
            self._hand_over(lane, [HostPart(ffn.compiled, blob, ffn.compiled.units, out[0])], hidden, False)
        else:
            there = self._streams.computed()

            def work() -> None:
                self._streams.join(there)
                ffn(hidden, blob, out)

            self._lane.start(work, nullcontext())
        self._lane.join()
        self._streams.upload(outputs, out)
        self._streams.finish()
        return perf_counter_ns() - start

    def settle(self) -> None:
        """Give back what is needed no more: all that was lent, once the layer is over."""
        self._lent.settle()

    def end_pass(self) -> SharedWork:
        """All that was queued is done: what has been done since the pass began, with `abandon`."""
        work = self._work
        work.host_ns += self._posted_ns()
        work.read_ns += self._busy.settle()
        return work

    def in_place_ns(self) -> int:
        """Nanoseconds that the device has read in place so far, as far as is known."""
        return self._busy.settle()

    def abandon(self) -> None:
        """Forget what a failed pass has left, once the lane has been abandoned."""
        self._layer = None
        if self._read is not None:
            self._streams.follow(self._read)  # nobody else is to write where it still does
            self._read = None
        self._lend_on()
        work = self._work = SharedWork.none(len(self._cuts))
        work.host_ns, work.read_ns = -self._posted_ns(), -self._busy.settle()

    def close(self) -> None:
        """Give all blobs back."""
        self.abandon()
        for mark, key in self._lent.take():
            self._streams.join(mark)
            self._source.release(key)

    def _read_in_place(self, parts: list[ExpertPart], layer: FusedLayers, there: bool) -> None:
        """Start the device's part of shared experts, in the queue beside: behind what is queued, unless the
        hidden state is on the host already, which comes last of all."""
        streams = self._streams
        queued = None if there else streams.computed()
        with streams.beside():
            if queued is not None:
                streams.follow(queued)
            before = streams.computed()
            for (level, units), group in groupby(parts, key=_same_call):
                same = list(group)
                blobs = [part.blob for part in same if part.blob is not None]
                layer.run_in_place(level, blobs, same[0].batch.row, units)
            self._read = streams.computed()
        self._busy.add(before, self._read)

    def _fetched(self, hidden: torch.Tensor) -> torch.Tensor:
        """The hidden state on its way to the host."""
        host = self._hidden.view(hidden.shape, hidden.dtype)
        self._streams.download(host, hidden)
        return host

    def _post(self, parts: list[ExpertPart], hidden: torch.Tensor, there: bool) -> bool:
        """Let the lane run one token's parts without Python, if it can and their blobs are at hand."""
        lane = self._lane.compiled
        if lane is None or len(hidden) > 1 or len(parts) > lane.most:
            return False
        posted = []
        for part, out in zip(parts, self._outputs.rows(), strict=True):
            ffn = self._ffns[part.job.key.level].compiled
            if ffn is None or part.blob is None:
                return False
            posted.append(HostPart(ffn, part.blob, ffn.units if part.units == ALL else part.units, out))
        self._hand_over(lane, posted, hidden, there)
        return True

    def _hand_over(
        self, lane: CompiledLane, parts: list[HostPart], hidden: torch.Tensor, there: bool
    ) -> None:
        """The lane starts once the hidden state is on the host, which the device says if it is not there."""
        self._number += 1
        if there:
            self._counted[0] = self._number
        else:
            self._streams.count(self._counter)
        lane.post(parts, hidden, self._counter, self._done, self._number)

    def _follow(self) -> int:
        """Let the device wait for the lane."""
        before = self._streams.computed()
        self._streams.await_count(self._done, self._number)
        self.waits.add(before, self._streams.computed())
        return 0

    def _lend_on(self) -> None:
        """The layer's blobs are needed until the device gets here, behind all that reads them."""
        if not self._parting.lent:
            return
        mark = self._streams.computed()
        for key in self._parting.lent:
            self._lent.until(mark, key)
        self._parting.lent.clear()

    def _posted_ns(self) -> int:
        """Nanoseconds that the lane has computed without Python: no waiting is in it."""
        return 0 if self._lane.compiled is None else self._lane.compiled.busy_ns

    def _count(self, parts: list[ExpertPart]) -> None:
        for part in parts:
            level = part.job.key.level
            cut, nbytes = self._cuts[level], self._nbytes[level]
            by_host = nbytes if part.units == ALL or cut is None else cut.bytes_of(part.units)
            self.moved_bytes += by_host
            self.in_place_bytes += nbytes - by_host
            if self._posted:
                self._work.hosted[level] += by_host / nbytes
            self._work.read[level] += 1 - by_host / nbytes

    def _run(self, there: Mark, hidden: torch.Tensor, parts: list[ExpertPart], outputs: torch.Tensor) -> None:
        self._streams.join(there)
        row = 0
        for part in parts:
            tokens = part.batch.tokens
            x = hidden if len(hidden) == 1 else hidden[torch.as_tensor(tokens, dtype=torch.long)]
            self._compute(part, x, outputs[row : row + len(tokens)])
            row += len(tokens)

    def _compute(self, part: ExpertPart, x: torch.Tensor, out: torch.Tensor) -> None:
        key = part.job.key
        units = None if part.units == ALL else (0, part.units)
        if part.blob is not None:
            self._ffns[key.level](x, part.blob, out, units)
            return
        blob = self._source.blob(key)
        try:
            self._ffns[key.level](x, blob, out, units)
        finally:
            self._source.release(key)

    def _out(self, rows: int, width: int) -> torch.Tensor:
        return self._outputs.view((rows, width), torch.float32)


def _same_call(part: ExpertPart) -> tuple[int, int]:
    """Parts of a level that the device reads from one unit on are one call of its kernels."""
    return part.job.key.level, part.units
