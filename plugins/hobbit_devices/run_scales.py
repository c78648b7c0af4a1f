"""RunScales: how the times of a run compare with what was foreseen, level by level."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import sqrt

MOST = 8.0
"""Times as long, or as short, that anything is taken to be."""

LITTLE_NS = 200_000
"""Foreseen work of a pass from which its time counts: a launch or a wake-up takes tens of microseconds."""

STEP = 2.0
"""Times as long as is expected by then, or as short, that one pass counts for: a hiccup is soon forgotten."""

UNSURE = 1.0
"""Variance of a scale that nothing is known of."""

NOISE = 0.05
"""Variance of a pass's time over what the scales say."""

KEPT = 0.93
"""What a pass still weighs at the next one."""


class RunScales:
    """`values[p]`: how many times as long level p takes as was foreseen.

    A pass tells the time of all its levels together. They are told apart by recursive least squares that
    forget (Haykin, Adaptive Filter Theory, chapter 10): passes differ in what they hold of each. There are
    two levels at most, and a device waits: plain numbers are sooner worked out than arrays.
    """

    def __init__(self, levels: int) -> None:
        self.values = [1.0] * levels
        self._doubt = [[UNSURE * (row == column) for column in range(levels)] for row in range(levels)]

    def follow(self, foreseen_ns: Mapping[int, float], took_ns: int) -> None:
        """One more pass: what was foreseen of each level in it, before scaling, and what all took.

        Little work tells nothing.
        """
        if sum(foreseen_ns.values()) < LITTLE_NS:
            return
        foreseen = [foreseen_ns.get(level, 0.0) for level in range(len(self.values))]
        expected = _product(foreseen, self.values)
        took = min(STEP * expected, max(expected / STEP, took_ns))
        parts = [ns / took for ns in foreseen]
        towards = [_product(row, parts) for row in self._doubt]
        known = NOISE + _product(parts, towards)
        off = 1 - expected / took
        self.values = [
            min(MOST, max(1 / MOST, value + off * step / known))
            for value, step in zip(self.values, towards, strict=True)
        ]
        self._learn(towards, known)

    def _learn(self, towards: Sequence[float], known: float) -> None:
        """What is sure by now, and forgotten again: no further than to where nothing is known."""
        doubt = [
            [(old - one * other / known) / KEPT for old, other in zip(row, towards, strict=True)]
            for row, one in zip(self._doubt, towards, strict=True)
        ]
        least = [sqrt(UNSURE / max(UNSURE, row[level])) for level, row in enumerate(doubt)]
        self._doubt = [
            # One half of each pair: what rounding makes unlike would grow from pass to pass.
            [doubt[min(i, j)][max(i, j)] * least[i] * least[j] for j in range(len(least))]
            for i in range(len(least))
        ]


def _product(one: Sequence[float], other: Sequence[float]) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True))
