"""Chunks of rows that stay in a core's cache from one step of an encoding to the next."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

_VALUES = 2**18
"""Weights of a chunk: 1 MB in float32, a common L2 cache."""


def chunks(rows: torch.Tensor) -> Iterator[slice]:
    """Slices of `rows` [R, C] that cover it in order; all of it at once off the CPU, which gains nothing.

    None has a single row unless R is 1: quanto takes a matrix of one row for a vector.
    """
    count = len(rows)
    step = max(2, _VALUES // rows.shape[1]) if rows.device.type == "cpu" else max(1, count)
    start = 0
    while start < count:
        stop = start + step if count - start - step > 1 else count
        yield slice(start, stop)
        start = stop
