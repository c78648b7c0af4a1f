"""From routing to demands: which experts a layer asks for, and how much each one matters."""

from __future__ import annotations

from collections.abc import Sequence
from math import exp

import numpy as np
import numpy.typing as npt

from hobbit.api import Demand, Routing

_MANY_EXPERTS = 24
"""Above this many experts, numpy selects the top-K faster than a Python sort."""


def demands_from(routing: Routing) -> list[Demand]:
    """Demands of one layer, distinct experts in falling gate weight (ties: lower expert first).

    Weights are normalised per token; the score is the sum of the weights ranked before the expert, the
    smallest over the tokens that chose it, clamped to 1 (HOBBIT, section 3.2).
    """
    if routing.tokens == 1:
        return _one_token(routing.experts[0].tolist(), routing.weights[0].tolist())
    return _many_tokens(routing.experts, routing.weights.astype(np.float64))


def _one_token(experts: Sequence[int], weights: Sequence[float]) -> list[Demand]:
    total = sum(weights) or 1.0
    ranked = sorted(zip(weights, experts, strict=True), key=_by_weight)
    demands = []
    before = 0.0
    for weight, expert in ranked:
        demands.append(Demand(expert, weight / total, min(before, 1.0), 1))
        before += weight / total
    return demands


def _by_weight(pair: tuple[float, int]) -> tuple[float, int]:
    return -pair[0], pair[1]


def _many_tokens(experts: npt.NDArray[np.int64], weights: npt.NDArray[np.float64]) -> list[Demand]:
    order = np.argsort(-weights, axis=1, kind="stable")  # [T, K]
    experts = np.take_along_axis(experts, order, axis=1)
    weights = np.take_along_axis(weights, order, axis=1)
    totals = weights.sum(axis=1, keepdims=True)
    weights = weights / np.where(totals == 0, 1.0, totals)
    before = np.minimum(np.cumsum(weights, axis=1) - weights, 1.0)
    before[:, 0] = 0.0
    flat = experts.ravel()
    distinct, counts = np.unique(flat, return_counts=True)
    position = np.searchsorted(distinct, flat)
    score = np.full(len(distinct), 1.0)
    largest = np.zeros(len(distinct))
    np.minimum.at(score, position, before.ravel())
    np.maximum.at(largest, position, weights.ravel())
    ranked = np.lexsort((distinct, -largest))
    return [
        Demand(*row)
        for row in zip(
            distinct[ranked].tolist(),
            largest[ranked].tolist(),
            np.maximum(score[ranked], 0.0).tolist(),
            counts[ranked].tolist(),
            strict=True,
        )
    ]


class LogitsLookahead:
    """Predicted demands from the router logits of later layers, for softmax top-K routers that renormalise.

    `logits` is [D, T, E]; a softmax restricted to the chosen K equals the renormalised one, so no full
    softmax is taken.
    """

    __slots__ = ("_logits", "_top_k", "depth")

    def __init__(self, logits: npt.NDArray[np.float32], top_k: int, depth: int) -> None:
        self._logits = logits
        self._top_k = top_k
        self.depth = min(depth, len(logits))

    def demands(self, distance: int) -> list[Demand]:
        """Demands of the layer `distance` ahead, in falling gate weight."""
        logits = self._logits[distance - 1]  # [T, E]
        if len(logits) == 1 and logits.shape[1] <= _MANY_EXPERTS:
            return self._small(logits[0].tolist())
        top = np.argsort(-logits, axis=1, kind="stable")[:, : self._top_k]
        chosen = np.take_along_axis(logits, top, axis=1).astype(np.float64)
        weights = np.exp(chosen - chosen[:, :1])
        if len(logits) == 1:
            return _one_token(top[0].tolist(), weights[0].tolist())
        return _many_tokens(top, weights)

    def _small(self, row: list[float]) -> list[Demand]:
        top = sorted(range(len(row)), key=row.__getitem__, reverse=True)[: self._top_k]
        peak = row[top[0]]
        return _one_token(top, [exp(row[expert] - peak) for expert in top])
