"""Locked memory on the real hardware: known to CUDA, page by page, and given back."""

from __future__ import annotations

import pytest
import torch

from hobbit.blob import PAGE
from hobbit.store.locked import locked_memory

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device is visible"),
]


def test_it_is_locked_as_long_as_somebody_looks_into_it() -> None:
    memory = locked_memory(5_000_000)
    assert memory is not None
    assert memory.is_pinned() and memory.numel() == 5_000_000 and memory.data_ptr() % PAGE == 0
    row = memory[4_000_000:]
    del memory
    assert row.is_pinned()
    row.random_(0, 255)
    assert torch.equal(row.cuda(non_blocking=True).cpu(), row)
