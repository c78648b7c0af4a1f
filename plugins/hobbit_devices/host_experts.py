"""Experts that run on the host while others are copied: activations go there, outputs come back."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import groupby
from time import perf_counter_ns

import torch

from hobbit.api import ExpertKey, ExpertPayload, ExpertSource, Job, Quantizer, SlotLayout
from hobbit_devices.expert_cut import ExpertCut
from hobbit_devices.fused_layer import FusedLayers
from hobbit_devices.gpu_streams import GpuStreams, Mark
from hobbit_devices.host_ffn import HostFfn
from hobbit_devices.host_kernels.compiled_lane import CompiledLane, HostPart
from hobbit_devices.host_lane import HostLane
from hobbit_devices.interval_log import IntervalLog
from hobbit_devices.layer_pairs import Batch
from hobbit_devices.lent_blobs import LentBlobs


@dataclass(slots=True, eq=False)
class _Part:
    """One expert of the layer, its pairs, and the hidden units of it that the host computes, the first ones.

    `blob`: what the device reads for the others; None where there are none.
    """

    job: Job
    batch: Batch
    units: int
    blob: torch.Tensor | None


class HostExperts:
    """The host's share of fused layers. `start` queues what it needs and returns; `finish` waits.

    One copy of the layer's hidden state to pinned memory, whatever the number of experts, and one of all
    outputs back. Of an expert that is shared the device computes the other units in place, before all else
    in the layer, so that host and link start together; the host's part is added at the end. Shared are
    experts of one-token layers whose blobs are at hand and within the device's reach; of others the host
    computes all. Where the lane can, it runs such layers without Python, whose lock it would wait for.

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
        self._lent = LentBlobs(source, streams)
        self._busy = IntervalLog(streams)
        self._hidden = _Buffer(streams)
        self._outputs = _Buffer(streams)
        self._layer: FusedLayers | None = None
        self._parts: list[_Part] = []
        self._held: list[ExpertKey] = []
        self._counter, self._done = (streams.pinned((1,), torch.int32).zero_() for _ in range(2))
        self._counted = self._counter.numpy()
        self._number = 0  # of the last layer that was posted
        self.waits = IntervalLog(streams)
        self._alone = 0  # of the parts, the first ones, that are the host's altogether
        self.moved_bytes = 0
        self.in_place_bytes = 0

    def cut(self, level: int) -> ExpertCut | None:
        """Where experts of this level can be parted; None: nowhere."""
        return self._cuts[level]

    def start(self, jobs: Sequence[Job], payload: ExpertPayload, layer: FusedLayers) -> None:
        """Let the host run its part of these experts of the layer, and the device its own."""
        self.settle()
        self._source.expect([job.key for job in jobs])
        there = payload.host_hidden
        hidden = self._fetched(payload.hidden) if there is None else there
        shared = [self._shared(job, layer) for job in jobs] if len(hidden) == 1 else [None] * len(jobs)
        order = sorted(zip(jobs, shared, strict=True), key=_together)
        parts = self._parts = [
            _Part(job, layer.take(job.key.expert), *(part or (-1, None))) for job, part in order
        ]
        self._alone = sum(part is None for part in shared)
        self._layer = layer
        count = sum(len(part.batch.tokens) for part in parts)
        outputs = self._out(count, hidden.shape[1])
        if not self._post(parts, hidden, outputs, there is not None):
            mark = self._streams.computed()
            self._lane.start(lambda: self._run(mark, hidden, parts, outputs), nullcontext())
        for level, same in groupby(parts[self._alone :], key=lambda part: (part.job.key.level, part.units)):
            self._run_in_place(level[0], list(same), layer)

    def finish(self) -> int:
        """Queue the host's outputs, once they are there; nanoseconds waited for them.

        Where the lane runs without Python the device waits, not this thread.
        """
        parts, layer = self._parts, self._layer
        if layer is None:
            return self._lane.join()
        self._layer = None
        waited = self._follow() if self._held else self._lane.join()
        row = parts[0].batch.row
        alone = sum(len(part.batch.tokens) for part in parts[: self._alone])
        together = len(parts) - self._alone
        outputs = self._out(alone + together, layer.width)
        if alone:
            self._streams.upload(layer.rows(row, alone), outputs[:alone])
        if together:
            self._streams.add(layer.rows(row + alone, together), outputs[alone:])
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
        """Give back what is needed no more; the last layer is over, and so is the lane or nearly so."""
        self._lent.settle()
        if self._held:
            self._lane.join()
            self._give_back()

    def in_place_ns(self) -> int:
        """Nanoseconds that the device has read in place so far, as far as is known."""
        return self._busy.settle()

    def abandon(self) -> None:
        """Forget what a failed pass has left, once the lane has been abandoned."""
        self._layer = None
        self._give_back()
        for part in self._parts:
            if part.blob is not None:
                self._lent.until(self._streams.computed(), part.job.key)
                part.blob = None

    def close(self) -> None:
        """Give all blobs back."""
        self.abandon()
        for mark, key in self._lent.take():
            self._streams.join(mark)
            self._source.release(key)

    def _shared(self, job: Job, layer: FusedLayers) -> tuple[int, torch.Tensor] | None:
        """The host's units of a shared expert, and its blob for the device; None: the host runs it whole."""
        cut, in_place = self._cuts[job.key.level], layer.in_place
        if job.share >= 1 or cut is None or in_place is None or not self._source.at_hand(job.key):
            return None
        units = cut.at(job.share)
        if units == cut.units:
            return None
        blob = self._source.blob(job.key)
        if in_place.reaches(blob):
            return units, blob
        self._source.release(job.key)
        return None

    def _run_in_place(self, level: int, parts: list[_Part], layer: FusedLayers) -> None:
        blobs = [part.blob for part in parts if part.blob is not None]
        before = self._streams.computed()
        layer.run_in_place(level, blobs, parts[0].batch.row, parts[0].units)
        mark = self._streams.computed()
        self._busy.add(before, mark)
        cut = self._cuts[level]
        assert cut is not None
        for part in parts:
            self._lent.until(mark, part.job.key)
            part.blob = None
            self.in_place_bytes += cut.bytes_of(cut.units - part.units)

    def _fetched(self, hidden: torch.Tensor) -> torch.Tensor:
        """The hidden state on its way to the host."""
        host = self._hidden.view(hidden.shape, hidden.dtype)
        self._streams.download(host, hidden)
        return host

    def _post(self, parts: list[_Part], hidden: torch.Tensor, outputs: torch.Tensor, there: bool) -> bool:
        """Let the lane run one token's parts without Python, if it can and their blobs are at hand."""
        lane = self._lane.compiled
        if lane is None or len(hidden) > 1 or len(parts) > lane.most:
            return False
        posted = []
        for part, out in zip(parts, outputs, strict=True):
            ffn = self._ffns[part.job.key.level].compiled
            if ffn is None or not self._source.at_hand(part.job.key):
                self._give_back()
                return False
            blob = self._source.blob(part.job.key)
            self._held.append(part.job.key)
            units = ffn.units if part.units < 0 else part.units
            posted.append(HostPart(ffn, blob, units, out))
        self.moved_bytes += sum(part.blob.numel() * part.units // part.ffn.units for part in posted)
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
        lane.post(parts, hidden[0], self._counter, self._done, self._number)

    def _follow(self) -> int:
        """Let the device wait for the lane."""
        before = self._streams.computed()
        self._streams.await_count(self._done, self._number)
        self.waits.add(before, self._streams.computed())
        return 0

    def _give_back(self) -> None:
        """Return the blobs that the lane has read without Python."""
        for key in self._held:
            self._source.release(key)
        self._held.clear()

    def _run(self, there: Mark, hidden: torch.Tensor, parts: list[_Part], outputs: torch.Tensor) -> None:
        self._streams.join(there)
        row = 0
        for part in parts:
            tokens = part.batch.tokens
            x = hidden if len(hidden) == 1 else hidden[torch.as_tensor(tokens, dtype=torch.long)]
            self._compute(part, x, outputs[row : row + len(tokens)])
            row += len(tokens)

    def _compute(self, part: _Part, x: torch.Tensor, out: torch.Tensor) -> None:
        key, units = part.job.key, part.units
        blob = self._source.blob(key)
        try:
            self._ffns[key.level](x, blob, out, None if units < 0 else (0, units))
        finally:
            self._source.release(key)
        cut = self._cuts[key.level]
        self.moved_bytes += blob.numel() if units < 0 or cut is None else cut.bytes_of(units)

    def _out(self, rows: int, width: int) -> torch.Tensor:
        return self._outputs.view((rows, width), torch.float32)


def _together(pair: tuple[Job, tuple[int, torch.Tensor] | None]) -> tuple[bool, int, int]:
    """Those of the host alone first, then those that the device runs in one call side by side."""
    job, part = pair
    return part is not None, job.key.level, 0 if part is None else part[0]


class _Buffer:
    """Pinned memory that grows when more is asked for, and keeps its address otherwise."""

    def __init__(self, streams: GpuStreams) -> None:
        self._streams = streams
        self._flat: torch.Tensor | None = None
        self._last: torch.Tensor | None = None

    def view(self, shape: Sequence[int], dtype: torch.dtype) -> torch.Tensor:
        """A tensor of this shape in the buffer."""
        if (last := self._last) is not None and last.shape == shape and last.dtype == dtype:
            return last
        count = 1
        for size in shape:
            count *= size
        if self._flat is None or self._flat.numel() < count or self._flat.dtype != dtype:
            self._flat = self._streams.pinned((1 << (count - 1).bit_length(),), dtype)
        self._last = self._flat[:count].view(*shape)
        return self._last
