"""Belady's optimum: the bound for every demand-fetch policy of one precision."""

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
    RoutingShape,
    ScoredCache,
)
from hobbit.errors import ConfigError, TraceError


@dataclass
class BeladyComponent(CacheComponent):
    """Evicts the expert whose next use lies furthest in the recorded future; an oracle.

    It bounds demand-fetch policies of one precision with equal slots in one global pool, in loads. A live
    run takes two passes: one records the routing, the other serves it.

    `resident_layers` first layers stay for good, as far as twice a token's K slots are left for the others:
    Read-ME keeps the first one, which nobody can foresee.
    """

    name: ClassVar[str] = "belady"
    effect: ClassVar[Effect] = Effect.HINT
    source: ClassVar[str] = "L. A. Belady, IBM Systems Journal 5(2), 1966: algorithm MIN"
    needs_future: ClassVar[bool] = True

    resident_layers: int = 0

    def build(self, context: Context) -> Belady:
        """The cache policy.

        Raises:
            ConfigError: if no recorded demands are given, or `resident_layers` is negative.
        """
        if self.resident_layers < 0:
            raise ConfigError(f"cache.resident_layers={self.resident_layers} is negative; use 0 or more")
        if context.future is None:
            raise ConfigError(
                "cache=belady needs the demands of a recorded run; record one first, or use cache=lfu"
            )
        return Belady(context.future, context.shape, self.resident_layers)


class Belady(ScoredCache):
    """Follows the recorded demands and knows for each expert when it comes next.

    `future` holds flat ids `layer * E + expert` in order of demand, over all sequences of the run.
    """

    def __init__(self, future: npt.NDArray[np.int64], shape: RoutingShape, resident_layers: int = 0) -> None:
        super().__init__()
        self._resident_layers = min(resident_layers, shape.layers)
        self._scratch = 2 * shape.top_k
        self._future = future.tolist()
        self._following = _next_uses(future).tolist()
        self._per_layer = shape.experts
        self._cursor = 0
        self._next_use = np.full(shape.layers * shape.experts, len(future), np.int64)
        used, first = np.unique(future, return_index=True)
        self._next_use[used] = first

    def scores(self, pool: PoolView, incoming: ExpertKey) -> npt.NDArray[np.float64]:
        """Minus the position of each resident's next demand, [S] (no further one: the end of the future)."""
        worth = -self._next_use[pool.experts].astype(np.float64)
        if self._resident_layers:
            worth[pool.layers < self._staying(len(worth))] = np.inf
        return worth

    def warm(self, level: int, allocation: Allocation) -> Sequence[tuple[int, int]]:
        """All experts of the layers that stay."""
        layers = self._staying(allocation.total)
        return [(layer, expert) for layer in range(layers) for expert in range(self._per_layer)]

    def _staying(self, slots: int) -> int:
        """Layers that stay when there are so many slots."""
        return min(self._resident_layers, max(0, slots - self._scratch) // self._per_layer)

    def observe(self, layer: int, experts: Sequence[int], tokens: Sequence[int]) -> None:
        """Step past the demands of this layer.

        Raises:
            TraceError: if they are not the recorded ones.
        """
        for expert in experts:
            flat = layer * self._per_layer + expert
            if self._future[self._cursor : self._cursor + 1] != [flat]:
                raise TraceError(
                    f"layer {layer} demands expert {expert}, but the recorded run does not at demand "
                    f"{self._cursor}; record the same prompt with the same seed again"
                )
            self._next_use[flat] = self._following[self._cursor]
            self._cursor += 1


def _next_uses(future: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Position of the next demand for the same expert, [N]; N where there is none."""
    order = np.argsort(future, kind="stable")
    again = future[order[1:]] == future[order[:-1]]
    following = np.full(len(future), len(future), np.int64)
    following[order[:-1][again]] = order[1:][again]
    return following
