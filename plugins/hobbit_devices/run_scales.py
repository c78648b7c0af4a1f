"""RunScales: how the times of a run compare with what was foreseen, level by level."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

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
    forget (Haykin, Adaptive Filter Theory, chapter 10): passes differ in what they hold of each.
    """

    def __init__(self, levels: int) -> None:
        self.values = [1.0] * levels
        self._doubt = UNSURE * np.eye(levels)

    def follow(self, foreseen_ns: Mapping[int, float], took_ns: int) -> None:
        """One more pass: what was foreseen of each level in it, before scaling, and what all took.

        Little work tells nothing.
        """
        if sum(foreseen_ns.values()) < LITTLE_NS:
            return
        foreseen = np.array([foreseen_ns.get(level, 0.0) for level in range(len(self.values))])
        expected = float(foreseen @ self.values)
        parts = foreseen / min(STEP * expected, max(expected / STEP, took_ns))
        towards = self._doubt @ parts
        gain = towards / (NOISE + parts @ towards)
        scales = np.asarray(self.values) + gain * (1 - parts @ self.values)
        self.values = np.clip(scales, 1 / MOST, MOST).tolist()
        doubt = (self._doubt - np.outer(gain, towards)) / KEPT
        # Levels that passes do not hold are forgotten no further than nothing is known of them.
        most = np.sqrt(np.maximum(np.diag(doubt), UNSURE) / UNSURE)
        doubt /= np.outer(most, most)
        self._doubt = (doubt + doubt.T) / 2  # what rounding makes unlike would grow from pass to pass
