"""AdapMoE's allocation of cache slots to layers: a model of the loads a layer costs, and its optimum."""

from __future__ import annotations

from math import comb

import numpy as np
import numpy.typing as npt

Reals = npt.NDArray[np.float64]

_EVENNESS = 1e-9
"""Between allocations of equal cost the more even one wins: costs are linear in the slots where K = 1."""


def expected_loads(kept: Reals, accuracy: Reals, experts: int) -> Reals:
    """On-demand loads that a token costs in each layer with 0..E slots, [L, E + 1].

    `kept` [L, K] are the shares of tokens that keep 1..K experts, `accuracy` [L] that of a prefetched one
    to be used. With m ~ Hypergeometric(E, E - k, j) missing of the j that a token wants, k of E resident:

        f(i, k) = sum_j kept[i, j] * (E[m] - accuracy[i] * P(m >= 1))

    since one missing expert is prefetched (AdapMoE, arXiv 2408.10284; for K = 2 its printed form).
    """
    wanted = np.arange(1, kept.shape[1] + 1)
    slots = np.arange(experts + 1)
    missing = wanted[:, None] * (experts - slots) / experts  # [K, E + 1]
    all_there = np.array([[comb(k, j) / comb(experts, j) for k in slots.tolist()] for j in wanted.tolist()])
    loads: Reals = kept @ missing - accuracy[:, None] * (kept @ (1 - all_there))
    return loads


def allocate_by_cost(costs: Reals, slots: int, least: int) -> tuple[int, ...]:
    """Share `slots` among the layers for the least sum of `costs` [L, E + 1], at least `least` a layer.

    Dynamic programming over layers: ``dp[i][j] = min_k dp[i-1][j-k] + f(i, k)``. The caller sees to it that
    `slots` lies between ``least * L`` and ``E * L``.
    """
    layers, most = costs.shape[0], costs.shape[1] - 1
    costs = costs + _EVENNESS * (np.arange(most + 1) - slots / layers) ** 2
    best = np.full(slots + 1, np.inf)
    best[0] = 0.0
    choices = np.zeros((layers, slots + 1), np.int64)
    for layer in range(layers):
        through = np.full(slots + 1, np.inf)
        for k in range(least, min(most, slots) + 1):
            cost = best[: slots + 1 - k] + costs[layer, k]
            better = cost < through[k:]
            through[k:][better] = cost[better]
            choices[layer, k:][better] = k
        best = through
    shares = []
    for layer in reversed(range(layers)):
        shares.append(int(choices[layer, slots]))
        slots -= shares[-1]
    return tuple(reversed(shares))
