"""MissFrequency: which blobs the host keeps, between a disk and a device that has a cache of its own."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

PERIOD = 20
"""Requests for each place, after which all counts are halved."""


class MissFrequency:
    """Keeps at most `places` of `rows` blobs: those that the device missed most often of late.

    A request reaches the host only when the device's own cache missed, so what one place saves is the number
    of such requests. Once all places are taken, a blob comes in only if it was asked for more often than the
    least asked one inside, which then leaves (TinyLFU admission; Einziger, Friedman and Manes 2017,
    doi 10.1145/3149371): a scan changes nothing, and what the device holds itself, which nobody asks for,
    does not stay. Ties go to whoever is inside; among equals inside, the one asked for longest ago leaves.
    """

    def __init__(self, places: int, rows: int) -> None:
        self.places = min(places, rows)
        self._counts: npt.NDArray[np.int64] = np.zeros(rows, np.int64)
        self._asked: npt.NDArray[np.int64] = np.zeros(rows, np.int64)
        self._inside: npt.NDArray[np.bool_] = np.zeros(rows, np.bool_)
        self._members: npt.NDArray[np.int64] = np.empty(self.places, np.int64)
        self._taken = 0
        self._now = 0

    def keeps(self, row: int) -> bool:
        """True if the blob has a place."""
        return bool(self._inside[row])

    def ask(self, row: int) -> None:
        """The device missed this blob: it may get a place, and another lose its own."""
        self._now += 1
        self._asked[row] = self._now
        self._counts[row] += 1
        if self.places and self._now % (PERIOD * self.places) == 0:
            self._counts >>= 1
        if self._inside[row] or not self.places:
            return
        if self._taken < self.places:
            self._enter(row, self._taken)
            self._taken += 1
            return
        place = self._least()
        member = self._members[place]
        if self._counts[row] > self._counts[member]:
            self._inside[member] = False
            self._enter(row, place)

    def _enter(self, row: int, place: int) -> None:
        self._members[place] = row
        self._inside[row] = True

    def _least(self) -> int:
        counts = self._counts[self._members]
        least = np.flatnonzero(counts == counts.min())
        return int(least[self._asked[self._members[least]].argmin()])
