"""Fate's cache: the first layers stay, since nothing can be fetched ahead for them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from hobbit.api import (
    Allocation,
    CacheComponent,
    Context,
    Effect,
    ExpertKey,
    PoolView,
    Records,
    RoutingShape,
    ScoredCache,
)
from hobbit.errors import ConfigError


@dataclass
class FirstLayersComponent(CacheComponent):
    """The first layers stay for good, in a `share` of the slots at most; the others are ranked by use.

    Our reading of Fate's cache, which favours shallow layers: a layer stays whole or not at all, and twice a
    token's K slots are always left for the others. Of these the expert used for the fewest tokens of this
    sequence leaves; ties go by recency.
    """

    name: ClassVar[str] = "first_layers"
    effect: ClassVar[Effect] = Effect.HINT
    source: ClassVar[str] = "Fate, arXiv 2502.12224"

    share: float = 0.25

    def build(self, context: Context) -> FirstLayers:
        """The cache policy.

        Raises:
            ConfigError: if `share` is not a share.
        """
        if not 0 <= self.share <= 1:
            raise ConfigError(f"cache.share={self.share} is not a share; give a number from 0 to 1")
        return FirstLayers(context.records, context.shape, self.share)


class FirstLayers(ScoredCache):
    """One global pool."""

    def __init__(self, records: Records, shape: RoutingShape, share: float) -> None:
        super().__init__()
        self._records = records
        self._shape = shape
        self._share = share

    def warm(self, level: int, allocation: Allocation) -> Sequence[tuple[int, int]]:
        """All experts of the layers that stay."""
        layers = self._staying(allocation.total)
        return [(layer, expert) for layer in range(layers) for expert in range(self._shape.experts)]

    def scores(self, pool: PoolView, incoming: ExpertKey) -> npt.NDArray[np.float64]:
        """Infinity in the layers that stay; uses in the others, with recency as their fraction, [S]."""
        records = self._records
        recency = records.last_tick[pool.experts] / (records.tick + 1)
        stays = pool.layers < self._staying(len(pool.layers))
        return np.where(stays, np.inf, records.uses[pool.experts] + recency)

    def _staying(self, slots: int) -> int:
        room = min(int(self._share * slots), slots - 2 * self._shape.top_k)
        return min(max(room, 0) // self._shape.experts, self._shape.layers)
