"""Pinned memory that is used over and over."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from hobbit_devices.gpu_streams import GpuStreams


class PinnedBuffer:
    """Grows when more is asked for, and keeps its address otherwise."""

    def __init__(self, streams: GpuStreams) -> None:
        self._streams = streams
        self._flat: torch.Tensor | None = None
        self._last: torch.Tensor | None = None
        self._rows: list[torch.Tensor] | None = None

    def view(self, shape: Sequence[int], dtype: torch.dtype) -> torch.Tensor:
        """A tensor of this shape in the buffer."""
        if (last := self._last) is not None and last.shape == shape and last.dtype == dtype:
            return last
        count = 1
        for size in shape:
            count *= size
        if self._flat is None or self._flat.numel() < count or self._flat.dtype != dtype:
            self._flat = self._streams.pinned((1 << (count - 1).bit_length(),), dtype)
        self._last = self._flat[:count].view(*shape)
        self._rows = None
        return self._last

    def rows(self) -> list[torch.Tensor]:
        """The rows of the last view."""
        if self._rows is None:
            assert self._last is not None
            self._rows = list(self._last.unbind())
        return self._rows
