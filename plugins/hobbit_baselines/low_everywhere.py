"""DynaExq's residency: every expert low, the hot ones high."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from hobbit.api import (
    HIGH,
    LOW,
    Allocation,
    CacheComponent,
    Context,
    Effect,
    ExpertKey,
    PastRequest,
    PoolView,
    RoutingShape,
    ScoredCache,
)
from hobbit.errors import ConfigError


@dataclass
class LowEverywhereComponent(CacheComponent):
    """A low copy of every expert stays resident; high slots go to the experts used most of late.

    Hotness is the share of its layer's selections that an expert got, averaged over the tokens with weight
    ``decay`` a token into the past; it starts from past requests where there are any. A high copy gives way
    only to an expert hotter by the factor ``1 + margin``. What the device cannot hold low is refused.

    Our reading: hotness is kept by the token, not by windows of requests, and one global pool of high slots
    goes to the hottest of all layers. Beside a loader that loads high copies on demand the coldest gives way.
    """

    name: ClassVar[str] = "low_everywhere"
    effect: ClassVar[Effect] = Effect.HINT
    source: ClassVar[str] = "DynaExq, arXiv 2511.15015"
    low_everywhere: ClassVar[bool] = True

    decay: float = 0.98
    margin: float = 0.25

    def build(self, context: Context) -> LowEverywhere:
        """The cache policy.

        Raises:
            ConfigError: if `decay` or `margin` is out of range.
        """
        if not 0 <= self.decay < 1:  # so written, NaN fails too
            raise ConfigError(f"cache.decay={self.decay} must be at least 0 and less than 1")
        if not 0 <= self.margin < np.inf:
            raise ConfigError(f"cache.margin={self.margin} must be a finite number from 0")
        on_demand = context.loader is None or context.loader.level_for(0.0) == HIGH
        hotness = popularity(context.past(), context.shape)
        return LowEverywhere(hotness, self.decay, 0.0 if on_demand else 1 + self.margin)


class LowEverywhere(ScoredCache):
    """Global pools ranked by hotness, [L, E] at the start; `factor` 0 lets everybody in."""

    def __init__(self, hotness: npt.NDArray[np.float64], decay: float, factor: float) -> None:
        super().__init__()
        self._hotness = hotness.copy()
        self._flat = self._hotness.reshape(-1)  # the same memory
        self._decay = decay
        self._factor = factor

    def warm(self, level: int, allocation: Allocation) -> Sequence[tuple[int, int]]:
        """All experts, the hottest of the past first; high copies only where there is a past."""
        if level != LOW and not self._flat.any():
            return ()
        experts = self._hotness.shape[1]
        return [divmod(flat, experts) for flat in np.argsort(-self._flat, kind="stable").tolist()]

    def scores(self, pool: PoolView, incoming: ExpertKey) -> npt.NDArray[np.float64]:
        """Hotness, [S]; +inf for whoever need not give way to `incoming`."""
        worth: npt.NDArray[np.float64] = self._flat[pool.experts]
        if self._factor:
            newcomer = self._hotness[incoming.layer, incoming.expert]
            worth = np.where(worth * self._factor < newcomer, worth, np.inf)
        return worth

    def observe(self, layer: int, experts: Sequence[int], tokens: Sequence[int]) -> None:
        """Average the layer's choices into its hotness."""
        total = sum(tokens)
        # As many tokens as the busiest expert had: at least so many passed.
        keep = self._decay ** max(tokens)
        row = self._hotness[layer]
        row *= keep
        for expert, count in zip(experts, tokens, strict=True):
            row[expert] += (1 - keep) * count / total


def popularity(past: Sequence[PastRequest], shape: RoutingShape) -> npt.NDArray[np.float64]:
    """Share of each layer's selections that an expert got in `past`, [L, E]; zeros where there is none."""
    counts = np.zeros((shape.layers, shape.experts))
    for request in past:
        for layer in range(shape.layers):
            counts[layer] += np.bincount(request.experts[:, layer].ravel(), minlength=shape.experts)
    shares: npt.NDArray[np.float64] = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    return shares
