"""The unimportance of every selection in a trace: what thresholds are calibrated on."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hobbit.trace.bits import Floats
from hobbit.trace.trace import Trace


def selection_scores(trace: Trace, decode_only: bool = False) -> npt.NDArray[np.float64]:
    """Unimportance [n] of each selection as decoding would score it: by its own token alone.

    It is the sum of the token's normalised gate weights ranked before the expert, at most 1 (HOBBIT, section
    3.2). `decode_only` leaves out the passes of several tokens, which are prompts.
    """
    weights = trace.weights
    if decode_only:
        lengths = np.diff(trace.pass_starts, append=trace.tokens)
        weights = weights[trace.pass_starts[lengths == 1]]
    return weights_scores(weights)


def weights_scores(weights: Floats) -> npt.NDArray[np.float64]:
    """The same [n] from gate weights [T, L, K] alone, such as those of past requests."""
    weights = weights.astype(np.float64)
    ranked = -np.sort(-weights, axis=2)
    totals = ranked.sum(axis=2, keepdims=True)
    ranked /= np.where(totals == 0, 1.0, totals)
    before = np.cumsum(ranked, axis=2) - ranked
    before[..., 0] = 0.0
    scores: npt.NDArray[np.float64] = before.clip(0.0, 1.0).ravel()
    return scores
