"""Experts that the device reads where they lie, in the host's locked memory, as it computes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby

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
    its own for every layout. All of it is for one compute queue: calls share what lies between two kernels.
    """

    def __init__(
        self, layouts: Sequence[BlobLayout], streams: GpuStreams, device: torch.device, build: Build
    ) -> None:
        self._layouts = layouts
        self._streams = streams
        self.device = device
        """Where products are computed."""
        self._ring = UploadRing(streams, device)
        self._build = build
        self._tokens: dict[int, torch.Tensor] = {}
        self._kernels: dict[tuple[int, int], Kernels] = {}
        self._places: dict[int, tuple[int, int] | None] = {}

    def reaches(self, blob: torch.Tensor) -> bool:
        """Whether the device can read this blob."""
        return self._place(blob) is not None

    def run(
        self, level: int, blobs: Sequence[torch.Tensor], x: torch.Tensor, out: torch.Tensor, first: int
    ) -> None:
        """out[i] = what the hidden units from `first` on of blob i give for x [1, d]; out float32 [n, d].

        All blobs are of this level, and such that `reaches` accepts.
        """
        start = 0
        for memory, same in groupby(map(self._place, blobs), key=_memory):
            slots = [place[1] for place in same if place is not None]
            count = len(slots)
            kernels = self._kernels_for(level, memory, blobs[start])
            rows = out if count == len(blobs) else out[start : start + count]
            kernels.run(x, self._ring.show(slots), self._first_token(count), rows, first)
            start += count

    def _first_token(self, count: int) -> torch.Tensor:
        """The token of each of so many pairs."""
        tokens = self._tokens.get(count)
        if tokens is None:
            with torch.inference_mode(False):
                tokens = self._tokens[count] = torch.zeros(count, dtype=torch.int32, device=self.device)
        return tokens

    def _place(self, blob: torch.Tensor) -> tuple[int, int] | None:
        """The piece of memory that a blob lies in, and the first of its slots there; blobs never move."""
        address = blob.data_ptr()
        if address not in self._places:
            memory = blob.untyped_storage().data_ptr()
            reached = self._streams.mapped(blob) is not None
            self._places[address] = (memory, (address - memory) // ALIGNMENT) if reached else None
        return self._places[address]

    def _kernels_for(self, level: int, memory_at: int, blob: torch.Tensor) -> Kernels:
        key = level, memory_at
        kernels = self._kernels.get(key)
        if kernels is None:
            memory = self._streams.mapped(blob)
            assert memory is not None
            whole = len(memory) // ALIGNMENT * ALIGNMENT
            kernels = self._kernels[key] = self._build(
                self._layouts[level], memory[:whole].view(-1, ALIGNMENT)
            )
        return kernels


def _memory(place: tuple[int, int] | None) -> int:
    return -1 if place is None else place[0]
