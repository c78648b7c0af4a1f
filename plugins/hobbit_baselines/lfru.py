"""Least frequently used among the least recently used: LFRU."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from hobbit.api import CacheComponent, Context, Effect, ExpertKey, PoolView, Records, ScoredCache
from hobbit.errors import ConfigError


@dataclass
class LfruComponent(CacheComponent):
    """The most recently used share of the residents is safe; among the others the least frequent leaves.

    The published policy keeps a privileged partition by recency and an unprivileged one by frequency. Our
    reading: the `privileged` share is found anew at each eviction; frequency counts this sequence, ties go
    by recency.
    """

    name: ClassVar[str] = "lfru"
    effect: ClassVar[Effect] = Effect.HINT
    source: ClassVar[str] = "LFRU: Bilal and Kang, IEEE Access 5, 2017, arXiv 1702.04078"

    privileged: float = 0.5

    def build(self, context: Context) -> Lfru:
        """The cache policy.

        Raises:
            ConfigError: if `privileged` is not a share.
        """
        if not 0 <= self.privileged <= 1:
            raise ConfigError(f"cache.privileged={self.privileged} is not a share; give a number from 0 to 1")
        return Lfru(context.records, self.privileged)


class Lfru(ScoredCache):
    """One global pool."""

    def __init__(self, records: Records, privileged: float) -> None:
        super().__init__()
        self._records = records
        self._privileged = privileged

    def scores(self, pool: PoolView, incoming: ExpertKey) -> npt.NDArray[np.float64]:
        """Uses with recency as their fraction, [S]; who is privileged is above all others."""
        records = self._records
        recency = records.last_tick[pool.experts] / (records.tick + 1)
        worth: npt.NDArray[np.float64] = records.uses[pool.experts] + recency
        safe = int(self._privileged * len(worth))
        if safe:
            worth[np.argsort(-recency, kind="stable")[:safe]] += worth.max() + 1
        return worth
