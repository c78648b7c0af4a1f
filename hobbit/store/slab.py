"""Slabs: host memory for many blobs of one size."""

from __future__ import annotations

import torch

from hobbit.blob import PAGE
from hobbit.errors import BudgetError
from hobbit.sizes import format_size
from hobbit.store.locked import locked_memory

CHUNK_ROWS = 16
CHUNK_BYTES = 2**30


def allocate_slab(rows: int, nbytes: int, pin: bool) -> list[torch.Tensor]:
    """`rows` rows, each uint8 [nbytes], a multiple of ALIGNMENT; `pin` locks their pages, as far as it may.

    Rows of whole pages start on a page. From where the system locks no more, rows are plain memory. Raises
    BudgetError if the host has not enough memory.
    """
    step = _rows_of_a_chunk(nbytes) if pin else max(rows, 1)
    slab: list[torch.Tensor] = []
    try:
        for start in range(0, rows, step):
            count = min(step, rows - start)
            pages = locked_memory(count * nbytes) if pin else None
            pin = pages is not None  # once refused, always refused
            slab += (_pages(count * nbytes) if pages is None else pages).view(count, nbytes).unbind()
    except (RuntimeError, MemoryError) as error:
        raise BudgetError(
            f"the host cannot hold {rows} experts of {format_size(nbytes)}, {format_size(rows * nbytes)} "
            "in all; free memory, or choose a smaller precision.high"
        ) from error
    return slab


def _pages(nbytes: int) -> torch.Tensor:
    """uint8 [nbytes] that starts on a page."""
    memory = torch.empty(nbytes + PAGE, dtype=torch.uint8)
    start = -memory.data_ptr() % PAGE
    return memory[start : start + nbytes]


def _rows_of_a_chunk(nbytes: int) -> int:
    """Rows that are locked together: enough to be worth a call, few enough to lock what can be locked."""
    return max(CHUNK_ROWS, CHUNK_BYTES // nbytes)
