"""Placement by popularity: Fiddler's cache, and a warm start for others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from hobbit.api import Allocation, CacheComponent, CachePolicy, Context, Effect, Records
from hobbit_baselines.lfu import Lfu
from hobbit_baselines.pinned import Pinned


@dataclass
class PopularComponent(CacheComponent):
    """The experts chosen most often by past requests stay on the device; `scratch` slots are for copies.

    Popularity is the tokens that chose the expert in the past requests. Where no past is known, as for a
    model of your own, the experts are spread evenly over the layers. With `stay=false` it is a warm start
    alone: afterwards every slot serves copies, and the expert used least in this sequence leaves.
    """

    name: ClassVar[str] = "popular"
    effect: ClassVar[Effect] = Effect.HINT
    source: ClassVar[str] = "Fiddler, arXiv 2402.07033, section 3.3"

    scratch: int = 2
    stay: bool = True

    def build(self, context: Context) -> CachePolicy:
        """The cache policy."""
        uses = popularity(context)
        if not uses.any():
            context.notes.append(
                "cache=popular knows no past routing: it spreads experts evenly over the layers"
            )
        layers, experts = np.divmod(np.arange(len(uses)), context.shape.experts)
        # Equals in rounds over the layers, so that each layer gets its share.
        ranking = np.lexsort((layers, experts, -uses))
        if self.stay:
            return Pinned(ranking, context.records, self.scratch)
        return PopularFirst(ranking, context.records)


class PopularFirst(Lfu):
    """Least frequently used, after a start with the first of `ranking` (flat ids [L * E])."""

    def __init__(self, ranking: npt.NDArray[np.int64], records: Records) -> None:
        super().__init__(records)
        self._ranking = ranking.tolist()

    def warm(self, level: int, allocation: Allocation) -> Sequence[tuple[int, int]]:
        """As many as there are slots."""
        experts = self._records.per_layer
        return [divmod(flat, experts) for flat in self._ranking[: allocation.total]]


def popularity(context: Context) -> npt.NDArray[np.int64]:
    """Tokens of past requests that chose each expert, [L * E]."""
    shape = context.shape
    base = np.arange(shape.layers)[:, None] * shape.experts  # [L, 1]
    uses = np.zeros(shape.layers * shape.experts, np.int64)
    for request in context.past():
        uses += np.bincount((request.experts + base).ravel(), minlength=len(uses))
    return uses
