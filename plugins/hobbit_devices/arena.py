"""The slots on a device: where expert blobs live while they are resident."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from hobbit.api import BlobLayout, Quantizer, SlotLayout
from hobbit.api.quantizer import NATIVE
from hobbit.blob import PAGE, stride_of
from hobbit.errors import SlotMemoryError
from hobbit.sizes import format_size


class SlotArena:
    """One uint8 tensor [S, nbytes] a level, allocated once: slots keep their address for the whole run.

    torch aligns allocations to at least ALIGNMENT, and blob sizes are multiples of it: each slot is aligned.
    Slots in host memory start on a page, so that a disk may fill them directly.
    Raises SlotMemoryError when `device` is short of memory.
    """

    def __init__(self, layout: SlotLayout, quantizer: Quantizer, device: torch.device) -> None:
        self._levels: list[_Level] = []
        try:
            for slots, blob in zip(layout.slots, layout.layouts, strict=True):
                self._levels.append(_Level(slots, blob, quantizer, device))
        except (RuntimeError, MemoryError) as error:  # torch.OutOfMemoryError is a RuntimeError
            self._levels.clear()
            raise SlotMemoryError(
                f"device={device.type} cannot allocate {format_size(layout.nbytes)} of expert slots; "
                "set a smaller memory.device",
                free_bytes(device),
            ) from error

    def pool(self, level: int) -> torch.Tensor:
        """All slots of a level, uint8 [S, nbytes]."""
        return self._levels[level].pool

    def blob(self, level: int, slot: int) -> torch.Tensor:
        """The bytes of one slot, uint8 [nbytes]."""
        return self._levels[level].rows[slot]

    def tensors(self, level: int, slot: int) -> Mapping[str, torch.Tensor]:
        """The tensors of the expert in the slot: lasting views where native, else decoded now."""
        return self._levels[level].tensors(slot)


def free_bytes(device: torch.device) -> int:
    """Memory of a GPU that nobody has now; 0 where it cannot be told."""
    if device.type != "cuda":
        return 0
    torch.cuda.empty_cache()
    return torch.cuda.mem_get_info(device)[0]


class _Level:
    """The slots of one precision."""

    def __init__(self, slots: int, layout: BlobLayout, quantizer: Quantizer, device: torch.device) -> None:
        self.pool = _pool(slots, layout.nbytes, device)
        self.rows = self.pool.unbind()
        self._layout = layout
        self._quantizer = quantizer
        self._views: list[Mapping[str, torch.Tensor]] = []
        if layout.precision == NATIVE:
            # Native blobs decode to views, which follow whatever is copied into the slot.
            self._views = [quantizer.decode(row, layout) for row in self.rows]

    def tensors(self, slot: int) -> Mapping[str, torch.Tensor]:
        if self._views:
            return self._views[slot]
        return self._quantizer.decode(self.rows[slot], self._layout)


def _pool(slots: int, nbytes: int, device: torch.device) -> torch.Tensor:
    """Memory of S slots, uint8 [S, nbytes]; on the CPU each begins a page, as direct reads want."""
    if device.type != "cpu":
        return torch.empty((slots, nbytes), dtype=torch.uint8, device=device)
    stride = stride_of(nbytes)
    memory = torch.empty(slots * stride + PAGE, dtype=torch.uint8)
    start = -memory.data_ptr() % PAGE
    return memory[start : start + slots * stride].view(slots, stride)[:, :nbytes]
