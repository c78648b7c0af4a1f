"""Whether the layers of a run can be fused, and if not, why."""

from __future__ import annotations

import torch

from hobbit.api import SlotLayout
from hobbit_devices.arena import SlotArena
from hobbit_devices.fused_layer import FusedLayers
from hobbit_devices.gpu_streams import GpuStreams
from hobbit_devices.in_place import InPlace
from hobbit_devices.kernels import available, build_kernels, supports
from hobbit_devices.upload_ring import UploadRing


class FusedChoice:
    """Kernels for the slots of a run, where GPU and blobs have them; else a line in `notes` says why."""

    def __init__(self, device: torch.device, streams: GpuStreams, notes: list[str]) -> None:
        self._device = device
        self._streams = streams
        self._notes = notes

    def __call__(self, layout: SlotLayout, arena: SlotArena) -> FusedLayers | None:
        """The fused layers, or None: experts then run one by one, in plain torch."""
        reason = available(self._device)
        for blob in layout.layouts:
            reason = reason or supports(blob)
        if reason is not None:
            self._notes.append(f"no fused kernels ({reason}): experts run one by one in plain torch, slower")
            return None
        kernels = [build_kernels(blob, arena.pool(level))[0] for level, blob in enumerate(layout.layouts)]
        ring = UploadRing(self._streams, self._device)
        in_place = InPlace(
            layout.layouts, self._streams, self._device, lambda blob, pool: build_kernels(blob, pool)[0]
        )
        return FusedLayers(kernels, ring, in_place)
