"""Copies from memory whose pages are not locked: through a ring of small buffers that are."""

from __future__ import annotations

import torch

from hobbit_devices.gpu_streams import GpuStreams, Mark

BUFFERS = 3
"""One is filled while one moves; the third lets neither wait for the other's last bytes."""


class BounceRing:
    """`BUFFERS` pinned buffers of `nbytes`, made when first needed. For one thread at a time.

    The calling thread fills a buffer, the link empties it: copies take the slower of the two, and a core.
    """

    def __init__(self, streams: GpuStreams, nbytes: int) -> None:
        self.nbytes = nbytes
        self._streams = streams
        self._buffers: list[torch.Tensor] = []
        self._emptied: list[Mark] = [None] * BUFFERS
        self._next = 0

    @property
    def used(self) -> bool:
        """Whether any copy went this way."""
        return bool(self._buffers)

    def copy(self, target: torch.Tensor, source: torch.Tensor) -> None:
        """Queue a copy of at most `nbytes` bytes. Raises RuntimeError if not even the ring can be pinned."""
        if not self._buffers:
            self._buffers = [self._streams.pinned((self.nbytes,), torch.uint8) for _ in range(BUFFERS)]
        place = self._next
        self._next = (place + 1) % BUFFERS
        if self._emptied[place] is not None:
            self._streams.join(self._emptied[place])
        buffer = self._buffers[place][: source.numel()]
        buffer.copy_(source)
        self._streams.copy(target, buffer)
        self._emptied[place] = self._streams.copied()
