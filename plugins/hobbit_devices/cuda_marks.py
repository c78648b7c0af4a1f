"""Marks in the queues of an NVIDIA GPU: timing events, used again once nobody can ask for them."""

from __future__ import annotations

from typing import Any

import torch


class CudaMark:
    """A timing event, lent: when the last reference to the mark goes, the event is free for another one."""

    __slots__ = ("_free", "event")

    def __init__(self, event: Any, free: list[Any]) -> None:
        self.event = event
        self._free = free

    def __del__(self) -> None:
        self._free.append(self.event)


class CudaMarks:
    """Makes marks. With `blocking`, whoever joins one sleeps; else it waits on its core.

    A stream that was told to wait for a mark has taken note of the work before it: it may go at once.
    """

    def __init__(self, blocking: bool) -> None:
        self._blocking = blocking
        self._free: list[Any] = []

    def behind(self, stream: Any) -> CudaMark:
        """A mark behind all that is in the stream by now."""
        try:
            event = self._free.pop()  # not asked for its length first: another thread may be quicker
        except IndexError:
            event = self._new()
        mark = CudaMark(event, self._free)
        event.record(stream)
        return mark

    def _new(self) -> Any:
        return torch.cuda.Event(enable_timing=True, blocking=self._blocking)  # type: ignore[no-untyped-call]
