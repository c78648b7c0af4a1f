"""Copies to a CUDA device, beside its computation."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

import torch

from hobbit_devices.link import Link


class CudaLink(Link):
    """Copies on a stream of their own. Sources should be pinned: others are copied at a fraction of the rate.

    Two hazards, two rules. A kernel may still read the slot's old content: the copy stream waits for an event
    recorded on the computing stream behind the slot's last reader. A kernel must not read content that is on
    its way: `move` returns only when the block has arrived, and kernels are launched after that.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self._arrived = torch.cuda.Event()  # type: ignore[no-untyped-call]

    def fence(self) -> Any:
        """An event behind everything launched so far."""
        return torch.cuda.current_stream(self._device).record_event()

    def begin(self, fence: Any) -> None:
        """The copy stream waits for the fence."""
        if fence is not None:
            self._stream.wait_event(fence)

    def move(self, target: torch.Tensor, source: torch.Tensor) -> None:
        """Copy one block on the copy stream, and wait for it on this thread alone."""
        with torch.cuda.stream(self._stream):
            target.copy_(source, non_blocking=True)
            self._arrived.record(self._stream)
        self._arrived.synchronize()

    def finish(self) -> None:
        """Synchronise the computing stream."""
        torch.cuda.current_stream(self._device).synchronize()

    def same_queue(self) -> AbstractContextManager[Any]:
        """The calling thread's current stream; a new thread would start on the default one."""
        return torch.cuda.stream(torch.cuda.current_stream(self._device))
