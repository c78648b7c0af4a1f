"""Seam: changes to the routing itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from hobbit.api.prefetcher import ResidencyView


@dataclass(slots=True)
class Routing:
    """What the router of one layer said about the T tokens of a pass.

    `experts` [T, K] int64 and `weights` [T, K] float32 as the experts function received them;
    `logits` [T, E] float32, or None where the router cannot be read; `lookahead` [D, T, E] float32: this
    layer's gate input put through the routers of the next D layers, or None. `kept` [T, K] bool marks the
    selections that count (None: all); the others are neither demanded nor computed, whatever their weight.
    Each token keeps at least one.
    """

    experts: npt.NDArray[np.int64]
    weights: npt.NDArray[np.float32]
    logits: npt.NDArray[np.float32] | None = None
    lookahead: npt.NDArray[np.float32] | None = None
    kept: npt.NDArray[np.bool_] | None = None

    @property
    def tokens(self) -> int:
        """T."""
        return int(self.experts.shape[0])


class Router(Protocol):
    """Rewrites a layer's routing before anything is loaded for it; identity for hint systems.

    An identity may say so by an attribute `rewrites = False`: once every expert is resident, a step then runs
    without asking for any.
    """

    needs_logits: bool

    depth: int
    """Layers of `lookahead` that `transform` reads (0: none). There may be more, or fewer near the last
    layer, and none where routers cannot be read."""

    def transform(self, layer: int, routing: Routing, view: ResidencyView) -> Routing:
        """Return `routing` itself, or a new one with other experts or weights (same T and K),
        perhaps with some selections not `kept`."""
        ...
