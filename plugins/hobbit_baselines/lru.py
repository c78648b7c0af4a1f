"""Least recently used."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from hobbit.api import CacheComponent, Context, Effect, ExpertKey, PoolView, Records, ScoredCache


@dataclass
class LruComponent(CacheComponent):
    """Evicts the expert that was used the longest ago.

    `per_layer` gives each layer its own slots; null decides by itself: one global pool if it holds a token's
    working set (K x L), else slots per layer, since a global scan then never hits.
    """

    name: ClassVar[str] = "lru"
    effect: ClassVar[Effect] = Effect.HINT
    source: ClassVar[str] = "classic; per layer in mixtral-offloading, arXiv 2312.17238, section 3.1"

    per_layer: bool | None = None

    def build(self, context: Context) -> Lru:
        """The cache policy."""
        return Lru(context.records, self.per_layer)


class Lru(ScoredCache):
    """Ranks by the tick of the last use, across sequences."""

    def __init__(self, records: Records, per_layer: bool | None = None) -> None:
        super().__init__(per_layer)
        self._records = records

    def scores(self, pool: PoolView, incoming: ExpertKey) -> npt.NDArray[np.float64]:
        """Ticks of the last uses, [S]."""
        return self._records.last_tick[pool.experts].astype(np.float64)
