"""Sequence-level multidimensional caching: HOBBIT, section 3.4."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from hobbit.api import CacheComponent, Context, Effect, ExpertKey, PoolView, Records, ScoredCache
from hobbit.errors import ConfigError
from hobbit_paper.layer_distance import layer_distances
from hobbit_paper.use_worth import UseWorth

_TOLERANCE = 1e-6


@dataclass
class MultidimComponent(CacheComponent):
    """Evicts by recency, frequency, high-precision frequency and distance of the layer, weighted.

    The worth of resident t, where expert i is being placed, T the tokens of this sequence and L the layers:

        p_t = w_lru * R_t/T + w_lfu * F_t/T + w_lhu * H_t/T + w_fld * (1 - ((l_t - l_i + L) mod L) / L)

    R is the last token that used it, F its uses, H its high-precision uses in this sequence. The weights are
    at least 0 and sum to 1; the paper tunes them on a trace for the least miss penalty.

    The low-precision cache has the same formula. With `own_level` its H counts low-precision uses (our
    reading: a low copy is worth what it serves, and an expert used high has a high copy for that).
    """

    name: ClassVar[str] = "multidim"
    effect: ClassVar[Effect] = Effect.HINT
    source: ClassVar[str] = "HOBBIT, arXiv 2411.01433, section 3.4"

    w_lru: float = 0.25
    w_lfu: float = 0.25
    w_lhu: float = 0.25
    w_fld: float = 0.25
    own_level: bool = False

    def build(self, context: Context) -> Multidim:
        """The cache policy.

        Raises:
            ConfigError: if a weight is negative or the weights do not sum to 1.
        """
        weights = (self.w_lru, self.w_lfu, self.w_lhu, self.w_fld)
        if min(weights) < 0 or not abs(sum(weights) - 1) <= _TOLERANCE:  # so written, NaN fails too
            shown = " + ".join(f"{weight:g}" for weight in weights)
            raise ConfigError(
                f"cache weights w_lru + w_lfu + w_lhu + w_fld = {shown} = {sum(weights):g}; "
                "they must not be negative and must sum to 1"
            )
        return Multidim(context.records, context.shape.layers, weights, self.own_level)


class Multidim(ScoredCache):
    """Global pools ranked by the weighted sum; `weights` are (lru, lfu, lhu, fld)."""

    def __init__(
        self,
        records: Records,
        layers: int,
        weights: tuple[float, float, float, float],
        own_level: bool = False,
    ) -> None:
        super().__init__()
        *use_weights, fld = weights
        # By level: what counts as H. The arrays of the records are filled anew, never replaced.
        self._use_worth = (
            UseWorth(records, records.high_uses, *use_weights),
            UseWorth(records, records.low_uses if own_level else records.high_uses, *use_weights),
        )
        nearness = fld * (1 - layer_distances(layers) / layers)  # [L, L]: incoming, resident
        self._nearness = list(nearness.repeat(records.per_layer, axis=1))  # [L] rows [L * E]

    def scores(self, pool: PoolView, incoming: ExpertKey) -> npt.NDArray[np.float64]:
        """p_t of every resident, [S], in [0, 1]."""
        # Of all experts, then of the residents: one gather of [S] costs less than two.
        worth: npt.NDArray[np.float64] = self._use_worth[pool.level].of_all() + self._nearness[incoming.layer]
        return worth[pool.experts]
