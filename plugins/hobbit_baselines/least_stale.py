"""Least-Stale eviction: SpecMD."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from hobbit.api import CacheComponent, Context, Effect, ExpertKey, PoolView, RoutingShape, ScoredCache
from hobbit_baselines.forward_distance import forward_distances


@dataclass
class LeastStaleComponent(CacheComponent):
    """Evicts the expert whose layer has come round most often without choosing it.

    Recency misjudges layers that are visited in a cycle: the expert used the longest ago may be of the layer
    that runs next. Staleness counts the runs of an expert's own layer instead; among equals the one whose
    layer runs last leaves. Our reading throughout, as only the paper's abstract was to be had.
    """

    name: ClassVar[str] = "least_stale"
    effect: ClassVar[Effect] = Effect.HINT
    source: ClassVar[str] = "SpecMD, arXiv 2602.03921"

    def build(self, context: Context) -> LeastStale:
        """The cache policy."""
        return LeastStale(context.shape)


class LeastStale(ScoredCache):
    """One global pool, across sequences."""

    def __init__(self, shape: RoutingShape) -> None:
        super().__init__()
        self._stale = np.zeros(shape.layers * shape.experts)
        self._rows = list(self._stale.reshape(shape.layers, shape.experts))  # views of it, by layer
        self._waits = list(forward_distances(shape.layers) / (shape.layers + 1))  # [L] rows [L], below 1

    def observe(self, layer: int, experts: Sequence[int], tokens: Sequence[int]) -> None:
        """`layer` has come round."""
        row = self._rows[layer]
        row += 1
        row[list(experts)] = 0

    def scores(self, pool: PoolView, incoming: ExpertKey) -> npt.NDArray[np.float64]:
        """Minus the staleness, [S]; the wait for the layer is its fraction."""
        worth: npt.NDArray[np.float64] = -self._stale[pool.experts] - self._waits[incoming.layer][pool.layers]
        return worth
