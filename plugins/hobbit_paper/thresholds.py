"""Thresholds of mixed-precision loading, calibrated to wanted shares: HOBBIT, section 3.2."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def calibrate_thresholds(
    scores: npt.NDArray[np.float64], high: float, low: float, counts: npt.NDArray[np.int64] | None = None
) -> tuple[float, float]:
    """(T1, T2) such that at least `high` of the selections score T1 or less, and `high + low` T2 or less.

    They are the least scores that reach the shares. `scores` [n] are unimportances in [0, 1], `counts` [n]
    the selections that each stands for (one, by default). First choices all score 0, so that of K experts no
    fewer than 1/K of the selections load high.

    Raises:
        ValueError: if there are no scores.
    """
    if not scores.size:
        raise ValueError("there are no scores to calibrate on")
    order = np.argsort(scores)
    reached = np.cumsum(np.ones(len(scores)) if counts is None else counts[order])
    # A share such as 0.67 + 0.30 must not miss its own score by a rounding error.
    wanted = np.array([high, high + low]) * reached[-1] - 1e-6
    t1, t2 = scores[order[np.searchsorted(reached, wanted).clip(max=len(scores) - 1)]].tolist()
    return t1, t2
