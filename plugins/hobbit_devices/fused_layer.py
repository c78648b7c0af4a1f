"""Layers whose experts run in fused kernels: a few launches a layer, whatever the number of experts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch

from hobbit.api import ExpertPayload, Job
from hobbit_devices.gpu_streams import GpuStreams
from hobbit_devices.in_place import InPlace
from hobbit_devices.kernels import Kernels
from hobbit_devices.layer_pairs import Batch, LayerPairs
from hobbit_devices.recorded_layers import RecordedLayers
from hobbit_devices.settled_layers import SettledLayers
from hobbit_devices.upload_ring import UploadRing

FEW_TOKENS = 1
"""Up to so many tokens every pair is a matrix-vector product of its own; beyond, pairs share their weights.

By the tokens of the layer, not of a call: a layer served in parts is to have the bits of one served whole.
"""


class FusedLayers:
    """Runs one layer at a time: `begin`, any of `run` and `take`, then `finish`.

    `kernels[p]` run the slots of level p. Outputs of pairs are float32, one row each, in the order in which
    pairs are taken; `finish` adds them up in ascending order of experts, so that the parts in which a layer
    is served leave no trace in its result. `in_place` runs parts of experts in the host's memory. Of a layer
    that runs `recorded`, only what its recording reads is written down.
    """

    def __init__(self, kernels: Sequence[Kernels], ring: UploadRing, in_place: InPlace | None = None) -> None:
        self._kernels = kernels
        self._ring = ring
        self.in_place = in_place
        self._rows: torch.Tensor | None = None
        self._payload: ExpertPayload | None = None
        self._sum: torch.Tensor | None = None
        self._recorded: RecordedLayers | None = None
        self._recordings: dict[int, RecordedLayers] = {}

    def begin(self, payload: ExpertPayload) -> None:
        """The experts of this payload are run from now on; what a failed pass left is forgotten."""
        if payload is self._payload:
            return
        self._payload = payload
        self._hidden = payload.hidden.contiguous()
        self._pairs = LayerPairs(payload.experts)
        self._sum = None
        recorded = payload.recorded
        if isinstance(recorded, RecordedLayers):
            self._recorded, self._outputs = recorded, recorded.outputs
            return
        self._recorded = None
        tokens, self._top_k = payload.experts.shape
        self._few = tokens <= FEW_TOKENS
        rows, width = tokens * self._top_k, self._hidden.shape[1]
        if self._rows is None or len(self._rows) < rows or self._rows.shape[1] != width:
            with torch.inference_mode(False):  # it is kept, and written to in and out of that mode
                self._rows = torch.empty((rows, width), dtype=torch.float32, device=self._hidden.device)
        self._outputs = self._rows

    def run(self, jobs: Sequence[Job]) -> None:
        """Run resident experts, all of one level, in as many launches as one expert takes."""
        batch = self._pairs.take([job.key.expert for job in jobs])
        level = jobs[0].key.level
        kernels = self._kernels[level]
        slots = [job.slot for job in jobs]
        if self._recorded is not None:
            self._recorded.put(level, batch.row, slots)
        elif self._few:
            self._run_few(kernels, slots, batch)
        else:
            self._run_many(kernels, slots, batch)

    def run_now(self) -> None:
        """Launch what a recording was to run: one of its slots is wanted for another expert of the layer."""
        if self._payload is None or self._recorded is None:
            return
        for kernels, slots in zip(self._kernels, self._recorded.take(), strict=True):
            if max(slots) >= 0:
                there, count = self._ring.upload(slots + [0] * len(slots)), len(slots)
                kernels.run(self._hidden, there[:count], there[count:], self._outputs)

    def take(self, expert: int) -> Batch:
        """The pairs of an expert that runs elsewhere: whoever runs it fills their `rows`."""
        return self._pairs.take([expert])

    def rows(self, first: int, count: int) -> torch.Tensor:
        """Where outputs of pairs that were taken are to be written, float32 [count, d]."""
        return self._outputs[first : first + count]

    def run_in_place(self, level: int, blobs: Sequence[torch.Tensor], row: int, first: int) -> None:
        """Run the units from `first` on of experts in the host's memory whose pairs were taken, in one-token
        layers: their outputs, from `row` on, are these parts."""
        assert self.in_place is not None
        self.in_place.run(level, blobs, self._hidden, self.rows(row, len(blobs)), first)

    @property
    def width(self) -> int:
        """d."""
        return self._hidden.shape[1]

    def finish(self) -> None:
        """Add up; the payload has its output, once the queue gets there."""
        payload, self._payload = self._payload, None
        if payload is None:
            return
        if self._recorded is not None:
            self._recorded.fill(self._pairs.choices(), self._pairs.rows(), payload.host_weights)
            payload.deliver(self._pairs.served)
            return
        if self._sum is None:
            self._sum = self._ring.upload(_joined(self._pairs.choices(), self._pairs.rows()))
        experts, rows = self._sum.view(2, -1, self._top_k)
        weights, final = payload.weights.contiguous(), payload.deliver(self._pairs.served)
        self._kernels[0].combine(self._outputs, weights, experts, rows, final)

    def settled(self, slots: npt.NDArray[np.int32], place: torch.device) -> SettledLayers:
        """For experts that stay in level 0's `slots` [L, E], at steps of few tokens."""
        return SettledLayers(self._kernels[0], slots, place)

    def recorded(self, streams: GpuStreams, top_k: int) -> RecordedLayers | None:
        """For steps of one token with K experts; None before any layer has run, which tells of its shapes."""
        if self._rows is None:
            return None
        if top_k not in self._recordings:
            self._recordings[top_k] = RecordedLayers(self._kernels, streams, self._hidden[:1], top_k)
        return self._recordings[top_k]

    def abandon(self) -> None:
        """Forget a layer that was never finished."""
        self._payload = None

    def _run_few(self, kernels: Kernels, slots: Sequence[int], batch: Batch) -> None:
        pairs = len(batch.tokens)
        of_pairs = _repeat(slots, batch.bounds) if pairs > len(slots) else slots
        parts = [of_pairs, batch.tokens]
        if self._pairs.complete:  # what adding up needs travels along
            parts += [self._pairs.choices(), self._pairs.rows()]
        there = self._ring.upload(_joined(*parts))
        if self._pairs.complete:
            self._sum = there[2 * pairs :]
        kernels.run(self._hidden, there[:pairs], there[pairs : 2 * pairs], self.rows(batch.row, pairs))

    def _run_many(self, kernels: Kernels, slots: Sequence[int], batch: Batch) -> None:
        there = self._ring.upload(_joined(slots, batch.bounds, batch.tokens))
        count, pairs = len(slots), len(batch.tokens)
        kernels.run_grouped(
            self._hidden,
            there[:count],
            there[count : 2 * count + 1],
            there[2 * count + 1 :],
            self.rows(batch.row, pairs),
        )


def _joined(*parts: Sequence[int] | npt.NDArray[np.int32]) -> list[int] | npt.NDArray[np.int32]:
    """One array of all; a plain list while it is short, which is sooner made."""
    if all(isinstance(part, list) for part in parts):
        return [value for part in parts for value in part]
    return np.concatenate([np.asarray(part, np.int32) for part in parts])


def _repeat(slots: Sequence[int], bounds: Sequence[int]) -> npt.NDArray[np.int32]:
    """The slot of every pair."""
    return np.repeat(np.asarray(slots, np.int32), np.diff(bounds))
