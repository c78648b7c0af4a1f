"""No cache at all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from hobbit.api import CacheComponent, Context, Effect, ExpertKey, PoolView, ScoredCache


@dataclass
class NoCacheComponent(CacheComponent):
    """Keeps nothing beyond the running layer: every demand is a miss."""

    name: ClassVar[str] = "none"
    effect: ClassVar[Effect] = Effect.HINT
    source: ClassVar[str] = "the plain offloading baseline"

    def build(self, context: Context) -> NoCache:
        """The cache policy."""
        return NoCache()


class NoCache(ScoredCache):
    """The runtime empties its slots after each layer; until then all residents are worth the same."""

    keeps = False

    def scores(self, pool: PoolView, incoming: ExpertKey) -> npt.NDArray[np.float64]:
        """Zeros, [S]."""
        return np.zeros(len(pool.experts))
