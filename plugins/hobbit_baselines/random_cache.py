"""Random replacement."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from hobbit.api import CacheComponent, Context, Effect, ExpertKey, PoolView, ScoredCache


@dataclass
class RandomComponent(CacheComponent):
    """Evicts any resident with equal probability; the same ones for the same seed."""

    name: ClassVar[str] = "random"
    effect: ClassVar[Effect] = Effect.HINT
    source: ClassVar[str] = "the baseline of Read-ME, arXiv 2410.19123"

    def build(self, context: Context) -> Random:
        """The cache policy."""
        return Random(context.shape.layers * context.shape.experts, context.seed)


class Random(ScoredCache):
    """Draws a worth for every expert anew before each layer, so that asking changes nothing."""

    def __init__(self, experts: int, seed: int) -> None:
        super().__init__()
        self._random = np.random.default_rng(seed)
        self._worth = self._random.random(experts)

    def observe(self, layer: int, experts: Sequence[int], tokens: Sequence[int]) -> None:
        """Draw."""
        self._random.random(out=self._worth)

    def scores(self, pool: PoolView, incoming: ExpertKey) -> npt.NDArray[np.float64]:
        """The draws of the residents, [S]."""
        return self._worth[pool.experts]
