"""Blobs that the source has lent: given back once the copies from them have ended."""

from __future__ import annotations

from collections import deque

from hobbit.api import ExpertKey, ExpertSource
from hobbit_devices.gpu_streams import GpuStreams, Mark


class LentBlobs:
    """One `release` for each blob, in the order of the marks behind their last copies."""

    def __init__(self, source: ExpertSource, streams: GpuStreams) -> None:
        self._source = source
        self._streams = streams
        self._lent: deque[tuple[Mark, ExpertKey]] = deque()

    def until(self, mark: Mark, key: ExpertKey) -> None:
        """The blob of `key` is needed until `mark`."""
        self._lent.append((mark, key))

    def settle(self) -> None:
        """Give back what is needed no more; never waits.

        Marks pass in order: most often all have, which the last one tells.
        """
        lent, passed = self._lent, self._streams.passed
        if not lent:
            return
        over = passed(lent[-1][0])
        while lent and (over or (len(lent) > 1 and passed(lent[0][0]))):
            self._source.release(lent.popleft()[1])

    def take(self) -> list[tuple[Mark, ExpertKey]]:
        """All that is lent, for the caller to wait for and release."""
        lent = list(self._lent)
        self._lent.clear()
        return lent
