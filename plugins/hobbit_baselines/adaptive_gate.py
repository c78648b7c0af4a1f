"""AdapMoE's adaptive prefetching: one expert, from the nearest layer that will miss one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from hobbit.api import (
    HIGH,
    Context,
    Demand,
    Effect,
    Lookahead,
    Prefetcher,
    PrefetcherComponent,
    PrefetchPlan,
    ResidencyView,
    predicted_copies,
)
from hobbit.errors import ConfigError


@dataclass
class AdaptiveGateComponent(PrefetcherComponent):
    """Brings the first predicted expert that is missing, up to `depth` layers ahead.

    The running layer's gate input goes through the next layer's gate; only where all experts predicted for a
    layer are resident does it look one further. Our reading: the other experts predicted for the layer that
    gets one are kept from eviction, since the newcomer would else take the place of one of them.
    """

    name: ClassVar[str] = "adaptive_gate"
    effect: ClassVar[Effect] = Effect.HINT
    source: ClassVar[str] = "AdapMoE, ICCAD 2024, arXiv 2408.10284, adaptive prefetching"

    depth: int = 3

    def build(self, context: Context) -> AdaptiveGate:
        """The prefetcher.

        Raises:
            ConfigError: if `depth` is below 1.
        """
        if self.depth < 1:
            raise ConfigError(
                f"prefetcher.depth={self.depth} looks nowhere; use 1 or more, or prefetcher=none"
            )
        return AdaptiveGate(self.depth)


class AdaptiveGate(Prefetcher):
    """Plans one copy at most, into the cache itself."""

    def __init__(self, depth: int) -> None:
        self.depth = depth

    def plan(
        self, layer: int, demands: Sequence[Demand], lookahead: Lookahead | None, view: ResidencyView
    ) -> PrefetchPlan | None:
        """The heaviest missing prediction of the nearest layer that has one."""
        if lookahead is None:
            return None
        for missing, held in predicted_copies(layer, self.depth, lookahead, view, _high):
            if missing:
                return PrefetchPlan(missing[:1], held)
        return None


def _high(score: float) -> int:
    """The published system has one precision."""
    return HIGH
