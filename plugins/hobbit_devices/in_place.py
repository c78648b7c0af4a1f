"""Experts that the device reads where they lie, in the host's locked memory, as it computes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from hobbit.api import BlobLayout
from hobbit.blob import ALIGNMENT
from hobbit_devices.gpu_streams import GpuStreams
from hobbit_devices.kernels import Kernels
from hobbit_devices.upload_ring import UploadRing

Build = Callable[[BlobLayout, torch.Tensor], Kernels]
"""Kernels for blobs of a layout in a pool, uint8 [S, ALIGNMENT]: a blob's slot is where it begins."""


class InPlace:
    """One token's products with blobs in the host's memory: no slot, no copy, the link's speed.

    A blob is found by its place in the piece of memory that it is a part of; each such piece has kernels of
    its own for every layout.
    """

    def __init__(
        self, layouts: Sequence[BlobLayout], streams: GpuStreams, ring: UploadRing, build: Build
    ) -> None:
        self._layouts = layouts
        self._streams = streams
        self._ring = ring
        self._build = build
        self._kernels: dict[tuple[int, int], Kernels] = {}

    @property
    def device(self) -> torch.device:
        """Where products are computed."""
        return self._ring.device

    def reaches(self, blob: torch.Tensor) -> bool:
        """Whether the device can read this blob."""
        return self._streams.mapped(blob) is not None

    def run(
        self, level: int, blobs: Sequence[torch.Tensor], x: torch.Tensor, out: torch.Tensor, first: int
    ) -> None:
        """out[i] = what the hidden units from `first` on of blob i give for x [1, d]; out float32 [n, d].

        All blobs are of this level, and such that `reaches` accepts.
        """
        start = 0
        while start < len(blobs):
            memory = blobs[start].untyped_storage().data_ptr()
            stop = start + 1
            while stop < len(blobs) and blobs[stop].untyped_storage().data_ptr() == memory:
                stop += 1
            places = [(blob.data_ptr() - memory) // ALIGNMENT for blob in blobs[start:stop]]
            there = self._ring.upload(places + [0] * len(places))
            slots, tokens = there.view(2, -1)
            self._kernels_for(level, blobs[start]).run(x, slots, tokens, out[start:stop], first)
            start = stop

    def _kernels_for(self, level: int, blob: torch.Tensor) -> Kernels:
        key = level, blob.untyped_storage().data_ptr()
        kernels = self._kernels.get(key)
        if kernels is None:
            memory = self._streams.mapped(blob)
            assert memory is not None
            whole = len(memory) // ALIGNMENT * ALIGNMENT
            kernels = self._kernels[key] = self._build(
                self._layouts[level], memory[:whole].view(-1, ALIGNMENT)
            )
        return kernels
