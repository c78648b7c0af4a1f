"""Placement by popularity: Fiddler's cache."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from hobbit.api import CacheComponent, Context, Effect
from hobbit_baselines.pinned import Pinned


@dataclass
class PopularComponent(CacheComponent):
    """The experts chosen most often by past requests stay on the device; `scratch` slots are for copies.

    Popularity is the tokens that chose the expert in the past requests. Where no past is known, as for a
    model of your own, the experts are spread evenly over the layers.
    """

    name: ClassVar[str] = "popular"
    effect: ClassVar[Effect] = Effect.HINT
    source: ClassVar[str] = "Fiddler, arXiv 2402.07033, section 3.3"

    scratch: int = 2

    def build(self, context: Context) -> Pinned:
        """The cache policy."""
        uses = popularity(context)
        if not uses.any():
            context.notes.append(
                "cache=popular knows no past routing: it spreads experts evenly over the layers"
            )
        layers, experts = np.divmod(np.arange(len(uses)), context.shape.experts)
        # Equals in rounds over the layers, so that each layer gets its share.
        ranking = np.lexsort((layers, experts, -uses))
        return Pinned(ranking, context.records, self.scratch)


def popularity(context: Context) -> npt.NDArray[np.int64]:
    """Tokens of past requests that chose each expert, [L * E]."""
    shape = context.shape
    base = np.arange(shape.layers)[:, None] * shape.experts  # [L, 1]
    uses = np.zeros(shape.layers * shape.experts, np.int64)
    for request in context.past():
        uses += np.bincount((request.experts + base).ravel(), minlength=len(uses))
    return uses
