"""How the experts of a layer are run on a GPU: fused where there are kernels for them, else one by one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch

from hobbit.api import ExpertKey, ExpertPayload, ExpertSource, Job, Quantizer, SettledExperts, SlotLayout
from hobbit_devices.arena import SlotArena
from hobbit_devices.fused_layer import FEW_TOKENS, FusedLayers
from hobbit_devices.gpu_streams import GpuStreams
from hobbit_devices.host_experts import HostExperts
from hobbit_devices.host_lane import HostLane
from hobbit_devices.in_place import InPlace
from hobbit_devices.recorded_layers import RecordedLayers

GATE = "silu"
"""The gate that the kernels and the host's products are built for."""


class LayerRunner:
    """Queues a layer's experts. `fused` is None where there are no kernels for the blobs or the GPU.

    Payloads of other maths, and all of them without kernels, compute each expert themselves from decoded
    tensors, on the device or on the host.
    """

    def __init__(
        self,
        arena: SlotArena,
        layout: SlotLayout,
        quantizer: Quantizer,
        source: ExpertSource,
        streams: GpuStreams,
        lane: HostLane,
        fused: FusedLayers | None,
    ) -> None:
        self._arena = arena
        self._layouts = layout.layouts
        self._quantizer = quantizer
        self._source = source
        self._streams = streams
        self._lane = lane
        self._fused = fused
        self.host = HostExperts(layout, quantizer, source, streams, lane)
        self._moved_bytes = 0

    @property
    def hosted_bytes(self) -> int:
        """Bytes of blobs that the host has run."""
        return self.host.moved_bytes + self._moved_bytes

    def shares(self, level: int) -> InPlace | None:
        """What reads experts of this level in the host's memory, if host and device can share them.

        A look at the first of them tells whether the device reaches it; they are not shared if it lies on a
        disk.
        """
        key = ExpertKey(0, 0, level)
        in_place = None if self._fused is None else self._fused.in_place
        if in_place is None or self.host.cut(level) is None or not self._source.at_hand(key):
            return None
        self._source.expect((key,))
        blob = self._source.blob(key)
        self._source.release(key)
        return in_place if in_place.reaches(blob) else None

    def run(self, jobs: Sequence[Job], payload: ExpertPayload) -> None:
        """Run experts, all of one level, whose blobs are in their slots once the queue gets there."""
        if (fused := self._fused) is not None and payload.activation == GATE:
            fused.begin(payload)
            fused.run(jobs)
            return
        for job in jobs:
            payload.compute(job.key.expert, self._arena.tensors(job.key.level, job.slot))

    def settles(self, activation: str | None, tokens: int) -> bool:
        """See `SettlingDevice`: several tokens share weights, which takes the host to sort."""
        return self._fused is not None and activation == GATE and tokens <= FEW_TOKENS

    def settled(self, slots: npt.NDArray[np.int32], place: torch.device) -> SettledExperts:
        """See `SettlingDevice`."""
        assert self._fused is not None
        return self._fused.settled(slots, place)

    def recorded(self, activation: str | None, tokens: int, top_k: int) -> RecordedLayers | None:
        """See `RecordingDevice`: one token a step, as far as there are kernels."""
        if self._fused is None or activation != GATE or tokens > FEW_TOKENS:
            return None
        return self._fused.recorded(self._streams, top_k)

    def run_now(self) -> None:
        """What was left to a recording runs now."""
        if self._fused is not None:
            self._fused.run_now()

    def run_host(self, jobs: Sequence[Job], payload: ExpertPayload) -> None:
        """Start experts on the host; `end_layer` joins them."""
        if (fused := self._fused) is not None and payload.activation == GATE:
            fused.begin(payload)
            self.host.start(jobs, payload, fused)
            return
        self._source.expect([job.key for job in jobs])
        self._lane.start(lambda: self._compute_there(jobs, payload), self._streams.same_queue())

    def end_layer(self) -> int:
        """Wait for the host, and queue the sum; the nanoseconds that the wait took."""
        waited = self.host.finish()
        if self._fused is not None:
            self._fused.finish()
        return waited

    def begin_pass(self) -> None:
        """Forget what a pass that failed has left."""
        self._lane.abandon()
        self.host.abandon()
        if self._fused is not None:
            self._fused.abandon()

    def close(self) -> None:
        """Give all blobs back, once the host is done with them."""
        self._lane.abandon()
        self.host.close()

    def _compute_there(self, jobs: Sequence[Job], payload: ExpertPayload) -> None:
        for job in jobs:
            blob = self._source.blob(job.key)
            try:
                tensors = self._quantizer.decode(blob, self._layouts[job.key.level])
                payload.compute(job.key.expert, tensors)
            finally:
                self._source.release(job.key)
            self._moved_bytes += blob.numel()
