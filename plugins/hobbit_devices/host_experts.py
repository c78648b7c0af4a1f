"""Experts that run on the host while others are copied: activations go there, outputs come back."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass

import torch

from hobbit.api import ExpertPayload, ExpertSource, Job, Quantizer, SlotLayout
from hobbit_devices.fused_layer import FusedLayers
from hobbit_devices.gpu_streams import GpuStreams, Mark
from hobbit_devices.host_ffn import HostFfn
from hobbit_devices.host_lane import HostLane
from hobbit_devices.layer_pairs import Batch


@dataclass(slots=True)
class _Part:
    """One expert of the layer: its pairs, and the first of their rows in the host's outputs."""

    job: Job
    batch: Batch
    row: int


class HostExperts:
    """The host's share of fused layers. `start` queues what it needs and returns; `finish` waits.

    One copy of the layer's hidden state to pinned memory, whatever the number of experts, and one of all
    outputs back. `moved_bytes` counts the weights that the host read.
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
        self._ffns = [HostFfn(blob, quantizer, lane.kernels) for blob in layout.layouts]
        self._hidden = _Buffer(streams)
        self._outputs = _Buffer(streams)
        self._returning: tuple[torch.Tensor, torch.Tensor] | None = None
        self.moved_bytes = 0

    def start(self, jobs: Sequence[Job], payload: ExpertPayload, layer: FusedLayers) -> None:
        """Let the host run these experts of the layer."""
        self._source.expect([job.key for job in jobs])
        hidden = self._hidden.view(payload.hidden.shape, payload.hidden.dtype)
        self._streams.download(hidden, payload.hidden)
        there = self._streams.computed()
        parts = [_Part(job, layer.take(job.key.expert), 0) for job in jobs]
        first = parts[0].batch.row
        for part in parts:
            part.row = part.batch.row - first
        count = sum(len(part.batch.tokens) for part in parts)
        outputs = self._outputs.view((count, hidden.shape[1]), torch.float32)
        self._returning = outputs, layer.rows(first, count)
        self._lane.start(lambda: self._run(there, hidden, parts, outputs), nullcontext())

    def finish(self) -> int:
        """Wait for the host and queue its outputs; the nanoseconds that the wait took."""
        waited = self._lane.join()
        if self._returning is not None:
            outputs, rows = self._returning
            self._returning = None
            self._streams.upload(rows, outputs)
        return waited

    def abandon(self) -> None:
        """Forget outputs that a failed pass never took back."""
        self._returning = None

    def _run(self, there: Mark, hidden: torch.Tensor, parts: list[_Part], outputs: torch.Tensor) -> None:
        self._streams.join(there)
        for part in parts:
            tokens = part.batch.tokens
            x = hidden if len(hidden) == 1 else hidden[torch.as_tensor(tokens, dtype=torch.long)]
            key = part.job.key
            blob = self._source.blob(key)
            try:
                self._ffns[key.level](x, blob, outputs[part.row : part.row + len(tokens)])
            finally:
                self._source.release(key)
            self.moved_bytes += blob.numel()


class _Buffer:
    """Pinned memory that grows when more is asked for, and keeps its address otherwise."""

    def __init__(self, streams: GpuStreams) -> None:
        self._streams = streams
        self._flat: torch.Tensor | None = None

    def view(self, shape: Sequence[int], dtype: torch.dtype) -> torch.Tensor:
        """A tensor of this shape in the buffer."""
        count = 1
        for size in shape:
            count *= size
        if self._flat is None or self._flat.numel() < count or self._flat.dtype != dtype:
            self._flat = self._streams.pinned((1 << (count - 1).bit_length(),), dtype)
        return self._flat[:count].view(*shape)
