"""Least frequently used, within the sequence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from hobbit.api import CacheComponent, Context, Effect, ExpertKey, PoolView, Records, ScoredCache


@dataclass
class LfuComponent(CacheComponent):
    """Evicts the expert used for the fewest tokens of this sequence; ties by recency.

    `per_layer` gives each layer its own slots; null decides as `lru` does.
    """

    name: ClassVar[str] = "lfu"
    effect: ClassVar[Effect] = Effect.HINT
    source: ClassVar[str] = "classic; sequence-level counts as in HOBBIT, arXiv 2411.01433, section 3.4"

    per_layer: bool | None = False

    def build(self, context: Context) -> Lfu:
        """The cache policy."""
        return Lfu(context.records, self.per_layer)


class Lfu(ScoredCache):
    """Ranks by uses in this sequence, then by the tick of the last use."""

    def __init__(self, records: Records, per_layer: bool | None = False) -> None:
        super().__init__(per_layer)
        self._records = records

    def scores(self, pool: PoolView, incoming: ExpertKey) -> npt.NDArray[np.float64]:
        """Use counts, [S]; recency is their fraction, since counts are whole numbers."""
        records = self._records
        recency = records.last_tick[pool.experts] / (records.tick + 1)
        return records.uses[pool.experts] + recency
