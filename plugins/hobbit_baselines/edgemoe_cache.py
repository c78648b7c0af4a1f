"""EdgeMoE's cache: keep frequent experts, and those whose layer comes next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from hobbit.api import CacheComponent, Context, Effect, ExpertKey, PoolView, RoutingShape, ScoredCache
from hobbit_baselines.forward_distance import forward_distances


@dataclass
class EdgeMoeComponent(CacheComponent):
    """Evicts by frequency over the distance to the expert's layer.

    The worth of expert e of layer l, where an expert of layer i is being placed, is

        f[l][e] / d    with d = ((l - i - 1) mod L) + 1, the layers to run until layer l runs again,

    and f its share of its layer's selections in the training routing at hand and since. So says the text of
    the paper, and the formula printed beside it says the opposite. `as_printed` takes that, in our reading
    d / f, where an expert that was never used counts as used half a time, lest it divide by zero.
    """

    name: ClassVar[str] = "edgemoe"
    effect: ClassVar[Effect] = Effect.HINT
    source: ClassVar[str] = "EdgeMoE, arXiv 2308.14352"

    as_printed: bool = False

    def build(self, context: Context) -> EdgeMoe:
        """The cache policy."""
        policy = EdgeMoe(context.shape, self.as_printed)
        for request in context.past():
            policy.learn(request.experts)
        return policy


class EdgeMoe(ScoredCache):
    """One global pool; the counts never forget."""

    def __init__(self, shape: RoutingShape, as_printed: bool) -> None:
        super().__init__()
        self._as_printed = as_printed
        self._uses = np.zeros((shape.layers, shape.experts))
        self._distances = forward_distances(shape.layers)  # [L, L]: placed, resident

    def learn(self, experts: npt.NDArray[np.int64]) -> None:
        """Count the selections [T, L, K] of a past request."""
        layers = np.arange(len(self._uses))[:, None]
        np.add.at(self._uses, (layers, experts), 1)

    def observe(self, layer: int, experts: Sequence[int], tokens: Sequence[int]) -> None:
        """Count the selections of a layer."""
        self._uses[layer, experts] += tokens

    def scores(self, pool: PoolView, incoming: ExpertKey) -> npt.NDArray[np.float64]:
        """Worth of every resident, [S]."""
        totals = np.maximum(self._uses.sum(axis=1), 1)[pool.layers]
        uses = self._uses.ravel()[pool.experts]
        distance = self._distances[incoming.layer][pool.layers]
        worth: npt.NDArray[np.float64]
        if self._as_printed:
            worth = distance * totals / np.maximum(uses, 0.5)
        else:
            worth = uses / totals / distance
        return worth
