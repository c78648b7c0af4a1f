"""A store in host memory: one slab a level, one row a blob."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from hobbit.api import BlobLayout, DeviceReport, ExpertKey, RoutingShape
from hobbit.errors import ModelError
from hobbit.store.slab import allocate_slab


class MemoryStore:
    """An `ExpertSource` of L x E blobs at each of P levels, laid out as `layouts[p]`.

    Slab p has L * E rows, uint8 [layouts[p].nbytes]; sizes are multiples of ALIGNMENT, so every row starts
    on its boundary. `pin` locks the pages, which copies to a CUDA device need to run at the link's speed.
    Raises BudgetError if the host is short of memory.
    """

    def __init__(self, layouts: Sequence[BlobLayout], shape: RoutingShape, pin: bool = False) -> None:
        self._layouts = tuple(layouts)
        self.shape = shape
        rows = shape.layers * shape.experts
        self._rows = [allocate_slab(rows, layout.nbytes, pin) for layout in layouts]
        self._filled = [bytearray(rows) for _ in layouts]

    @property
    def nbytes(self) -> int:
        """Host bytes of all slabs."""
        return self.shape.layers * self.shape.experts * sum(layout.nbytes for layout in self._layouts)

    def put(self, key: ExpertKey, blob: torch.Tensor) -> None:
        """Keep a copy of `blob`, uint8 [nbytes], from any device. Raises ModelError if its size is wrong."""
        row = self._row(key)
        expected = self._layouts[key.level].nbytes
        if blob.numel() != expected:
            raise ModelError(
                f"expert {key.expert} of layer {key.layer} makes a blob of {blob.numel()} bytes where the "
                f"others make {expected}; experts of different sizes are not supported"
            )
        self._rows[key.level][row].copy_(blob)
        self._filled[key.level][row] = 1

    def row(self, key: ExpertKey) -> torch.Tensor:
        """Where the blob of `key` lies, uint8 [nbytes], for the caller to fill at once."""
        row = self._row(key)
        self._filled[key.level][row] = 1
        return self._rows[key.level][row]

    def blob(self, key: ExpertKey) -> torch.Tensor:
        """See `ExpertSource`. Raises ModelError if the blob was never put."""
        row = self._row(key)
        if not self._filled[key.level][row]:
            precision = self._layouts[key.level].precision
            raise ModelError(
                f"expert {key.expert} of layer {key.layer} is not in the store at precision {precision}; "
                "the checkpoint lacks it, or the store was not filled"
            )
        return self._rows[key.level][row]

    def at_hand(self, key: ExpertKey) -> bool:
        """See `ExpertSource`: all that was put is."""
        return bool(self._filled[key.level][self._row(key)])

    def release(self, key: ExpertKey) -> None:
        """Nothing: every blob stays."""

    def read(self, key: ExpertKey, target: torch.Tensor) -> None:
        """See `ExpertSource`; raises as `blob`."""
        target.copy_(self.blob(key))

    def expect(self, keys: Sequence[ExpertKey]) -> None:
        """Nothing: every blob is here."""

    def add_streams(self, report: DeviceReport) -> None:
        """Nothing: reading memory is the device's own work."""

    def close(self) -> None:
        """Nothing: the memory goes with the last reference to a blob."""

    def _row(self, key: ExpertKey) -> int:
        shape = self.shape
        layer, expert, level = key
        if not (0 <= layer < shape.layers and 0 <= expert < shape.experts and 0 <= level < len(self._rows)):
            raise ModelError(
                f"no {key} in a store of {shape.layers} layers of {shape.experts} experts "
                f"at {len(self._layouts)} precisions"
            )
        return layer * shape.experts + expert
