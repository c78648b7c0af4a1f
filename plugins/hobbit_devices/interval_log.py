"""The books of the link and of waiting: intervals between marks, added up once they have passed."""

from __future__ import annotations

from collections import deque

from hobbit_devices.gpu_streams import GpuStreams, Mark

MANY = 32
"""Intervals that may wait to be read: their marks are wanted for others."""


class IntervalLog:
    """Sums the time between pairs of marks of one queue. `settle` reads those that have passed."""

    def __init__(self, streams: GpuStreams) -> None:
        self._streams = streams
        self._open: deque[tuple[Mark, Mark]] = deque()
        self.total_ns = 0

    def add(self, first: Mark, second: Mark) -> None:
        """An interval to be read later."""
        self._open.append((first, second))
        if len(self._open) >= MANY:
            self.settle()

    def settle(self) -> int:
        """Read what has passed, which never waits; the sum of all so far, in nanoseconds.

        Marks pass in order: most often all have, which the last one tells.
        """
        waiting, passed = self._open, self._streams.passed
        over = bool(waiting) and passed(waiting[-1][1])
        while waiting and (over or passed(waiting[0][1])):
            self.total_ns += self._streams.between_ns(*waiting.popleft())
        return self.total_ns
