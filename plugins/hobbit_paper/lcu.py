"""MoE-APEX's LCU: cost-weighted use counts and the distance of the layer, without weights to tune."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from hobbit.api import (
    CacheComponent,
    Context,
    Effect,
    ExpertKey,
    PoolView,
    Records,
    RoutingShape,
    ScoredCache,
)
from hobbit_paper.layer_distance import layer_distances

_OFFSET = 0.1
"""The paper's constant in 1 / (distance + 0.1)."""


@dataclass
class LcuComponent(CacheComponent):
    """Evicts by use counts weighed by the bytes of their precision, plus nearness of the layer.

    With H high and L_t low-precision uses in this sequence, T its tokens, B the bytes of a blob:

        C_t = H_t + (B_low / B_high) * L_t
        p_t = C_t / T + 1 / (((l_t - l_i + L) mod L) + 0.1)     if t was used in the last forward pass
        p_t = C_t / T                                           otherwise

    Our reading of "the last forward pass": the latest run of the expert's own layer in this sequence, so
    that layers ahead of the running one are judged by the token before.
    """

    name: ClassVar[str] = "lcu"
    effect: ClassVar[Effect] = Effect.HINT
    source: ClassVar[str] = "MoE-APEX, ASPLOS 2026, doi 10.1145/3779212.3790187"

    def build(self, context: Context) -> Lcu:
        """The cache policy; with one precision there are no low uses to weigh."""
        low_cost = context.blob_bytes[1] / context.blob_bytes[0] if len(context.blob_bytes) > 1 else 0.0
        return Lcu(context.records, context.shape, low_cost)


class Lcu(ScoredCache):
    """Global pools ranked by p_t; `low_cost` is B_low / B_high."""

    def __init__(self, records: Records, shape: RoutingShape, low_cost: float) -> None:
        super().__init__()
        self._records = records
        self._low_cost = np.array(low_cost)
        self._nearness = list(
            1 / (layer_distances(shape.layers) + _OFFSET)
        )  # [L] rows [L]: incoming, resident
        self._recent = np.zeros(shape.layers * shape.experts)  # 1.0: used in its layer's latest run
        self._rows = list(self._recent.reshape(shape.layers, shape.experts))  # views of it, by layer

    def scores(self, pool: PoolView, incoming: ExpertKey) -> npt.NDArray[np.float64]:
        """p_t of every resident, [S]."""
        records, experts = self._records, pool.experts
        worth: npt.NDArray[np.float64] = self._low_cost * records.low_uses[experts]
        worth += records.high_uses[experts]
        worth /= max(records.token, 1)
        worth += self._nearness[incoming.layer][pool.layers] * self._recent[experts]
        return worth

    def begin_sequence(self) -> None:
        """Nothing has been used in the new sequence."""
        self._recent.fill(0)

    def observe(self, layer: int, experts: Sequence[int], tokens: Sequence[int]) -> None:
        """Remember the choices of the layer's latest run."""
        row = self._rows[layer]
        row.fill(0)
        for expert in experts:
            row[expert] = 1
