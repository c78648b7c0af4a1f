"""Residents for good: the experts first in some ranking, and scratch slots for whatever is copied."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from hobbit.api import Allocation, ExpertKey, PoolView, Records, ScoredCache


class Pinned(ScoredCache):
    """One global pool. As many of `ranking` (flat ids [L * E]) stay as leave `scratch` slots.

    They stay in groups of `step` experts; the other slots are ranked by recency.
    """

    def __init__(self, ranking: npt.NDArray[np.int64], records: Records, scratch: int, step: int = 1) -> None:
        super().__init__()
        self._ranking = ranking.tolist()
        self._rank = np.empty_like(ranking)
        self._rank[ranking] = np.arange(len(ranking))
        self._records = records
        self._scratch = scratch
        self._step = step

    def warm(self, level: int, allocation: Allocation) -> Sequence[tuple[int, int]]:
        """Those who stay."""
        experts = self._records.per_layer
        return [divmod(flat, experts) for flat in self._ranking[: self._staying(allocation.total)]]

    def scores(self, pool: PoolView, incoming: ExpertKey) -> npt.NDArray[np.float64]:
        """Infinity for those who stay, the tick of the last use for the others, [S]."""
        stays = self._rank[pool.experts] < self._staying(len(pool.experts))
        return np.where(stays, np.inf, self._records.last_tick[pool.experts])

    def _staying(self, slots: int) -> int:
        if slots >= len(self._ranking):
            return len(self._ranking)
        return max(0, slots - self._scratch) // self._step * self._step
