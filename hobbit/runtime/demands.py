"""From routing to demands: which experts a layer asks for, and how much each one matters."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import reduce
from math import exp
from operator import add, gt, neg

import numpy as np
import numpy.typing as npt

from hobbit.api import Demand, Routing


def demands_from(routing: Routing) -> list[Demand]:
    """Demands of one layer, distinct experts in falling gate weight (ties: lower expert first).

    Weights are normalised per token; the score is the sum of the weights ranked before the expert, the
    smallest over the tokens that chose it, clamped to 1 (HOBBIT, section 3.2). Selections that are not kept
    count for nothing.
    """
    kept = routing.kept
    if len(routing.experts) == 1:
        if kept is None:
            return _one_token(routing.experts.tolist()[0], routing.weights.tolist()[0])
        return _one_token(routing.experts[kept].tolist(), routing.weights[kept].tolist())
    return _many_tokens(routing.experts, routing.weights.astype(np.float64), kept)


def add_unchosen(demands: list[Demand], experts: int) -> None:
    """Append the others of a layer of E experts, lowest first, as demands that serve no token."""
    chosen = {demand.expert for demand in demands}
    demands += [Demand(expert, 0.0, 1.0, 0) for expert in range(experts) if expert not in chosen]


def _one_token(experts: Sequence[int], weights: Sequence[float]) -> list[Demand]:
    if len(experts) == 2:
        first, second = experts
        heavy, light = weights
        if light > heavy or (light == heavy and second < first):
            return _pair(second, first, light, heavy)
        return _pair(first, second, heavy, light)
    if all(map(gt, weights, weights[1:])):  # as routers mostly give them: nothing is left to rank
        return _scored(zip(weights, experts, strict=True), sum(weights) or 1.0)
    # Negated weights sort the heaviest first and, among equals, the lowest expert.
    ranked = sorted(zip(map(neg, weights), experts, strict=True))
    return _scored(ranked, -sum(weights) or 1.0)


def _pair(first: int, second: int, heavy: float, light: float) -> list[Demand]:
    """`_scored` for two, the usual top-K: without its loop, at half the cost."""
    total = heavy + light or 1.0
    share = heavy / total
    new = tuple.__new__
    return [
        new(Demand, (first, share, 0.0, 1)),
        new(Demand, (second, light / total, share if share < 1.0 else 1.0, 1)),
    ]


def _scored(ranked: Iterable[tuple[float, int]], total: float) -> list[Demand]:
    """Demands of one token from its (weight, expert), heaviest first; `total` is the weights' sum.

    Weights and sum may both be negated, which leaves the shares as they are.
    """
    demands = []
    before = 0.0
    for weight, expert in ranked:
        share = weight / total
        # A NamedTuple's own constructor is a Python function, at twice the cost.
        demands.append(tuple.__new__(Demand, (expert, share, before if before < 1.0 else 1.0, 1)))
        before += share
    return demands


def _many_tokens(
    experts: npt.NDArray[np.int64],
    weights: npt.NDArray[np.float64],
    kept: npt.NDArray[np.bool_] | None = None,
) -> list[Demand]:
    if kept is not None:
        weights = np.where(kept, weights, 0.0)
    order = np.argsort(-weights, axis=1, kind="stable")  # [T, K]
    experts = np.take_along_axis(experts, order, axis=1)
    weights = np.take_along_axis(weights, order, axis=1)
    totals = weights.sum(axis=1, keepdims=True)
    weights = weights / np.where(totals == 0, 1.0, totals)
    before = np.minimum(np.cumsum(weights, axis=1) - weights, 1.0)
    before[:, 0] = 0.0
    counts_for = np.ones_like(experts, bool) if kept is None else np.take_along_axis(kept, order, axis=1)
    flat = experts[counts_for]  # one entry a selection that counts
    distinct, counts = np.unique(flat, return_counts=True)
    position = np.searchsorted(distinct, flat)
    score = np.full(len(distinct), 1.0)
    largest = np.zeros(len(distinct))
    np.minimum.at(score, position, before[counts_for])
    np.maximum.at(largest, position, weights[counts_for])
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

    __slots__ = ("_logits", "_pairs", "_single", "_top_k", "depth")

    def __init__(self, logits: npt.NDArray[np.float32], top_k: int, depth: int) -> None:
        self._logits = logits
        self._top_k = top_k
        layers, tokens, experts = logits.shape
        self.depth = min(depth, layers)
        self._single = tokens == 1
        self._pairs = top_k == 2 < experts

    def demands(self, distance: int) -> list[Demand]:
        """Demands of the layer `distance` ahead, in falling gate weight."""
        logits = self._logits[distance - 1]
        if not self._single:
            return self._many_tokens(logits)
        row = logits[0]
        if self._pairs:
            first, second, behind = _largest_two(row.tolist())
            return _pair(first, second, 1.0, exp(behind))
        experts = _largest(row, self._top_k)
        chosen = row[experts].tolist()
        peak = chosen[0]
        weights = [exp(logit - peak) for logit in chosen]
        # Added one by one: what `sum` makes of floats depends on the Python.
        return _scored(zip(weights, experts, strict=True), reduce(add, weights))

    def experts(self, distance: int) -> list[int]:
        """Those of `demands`: nothing is worked out but their ranking."""
        if not self._single:
            return [demand.expert for demand in self.demands(distance)]
        row = self._logits[distance - 1, 0]
        if self._pairs:
            first, second, _ = _largest_two(row.tolist())
            return [first, second]
        return _largest(row, self._top_k)

    def _many_tokens(self, logits: npt.NDArray[np.float32]) -> list[Demand]:
        top = np.argsort(-logits, axis=1, kind="stable")[:, : self._top_k]  # [T, K]
        chosen = np.take_along_axis(logits, top, axis=1).astype(np.float64)
        return _many_tokens(top, np.exp(chosen - chosen[:, :1]))


def _largest(logits: npt.NDArray[np.float32], count: int) -> list[int]:
    """Places of the `count` largest of `logits` [E], the largest first (ties: the lower first)."""
    ranked: list[int] = np.negative(logits).argsort(kind="stable")[:count].tolist()
    return ranked


def _largest_two(logits: list[float]) -> tuple[int, int, float]:
    """`_largest` for two, the usual top-K, without a full ranking; and their distance, zero or less."""
    last, peak = sorted(logits)[-2:]
    first = logits.index(peak)
    return first, logits.index(last, first + 1 if last == peak else 0), last - peak
