"""Pre-gated MoE's prefetching: everything that is already decided, right after the gate."""

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
)
from hobbit.errors import ConfigError
from hobbit.types import expert_key


@dataclass
class PregateFetchComponent(PrefetcherComponent):
    """Brings all experts that router=pregate has chosen for a later layer; exact beside it.

    They wait in `staging` slots, and the running layer's K have slots of their own: the published peak is the
    active experts of two consecutive layers. With `staging=0` there is room for two whole layers (one more
    for each layer that the router looks further ahead), so that a prompt that uses every expert misses none
    either; for decoding alone `staging` = K will do. Beside another router it predicts one layer ahead.
    """

    name: ClassVar[str] = "pregate"
    effect: ClassVar[Effect] = Effect.EXACT
    source: ClassVar[str] = "Pre-gated MoE, ISCA 2024, arXiv 2308.12066, section 4"

    staging: int = 0

    def build(self, context: Context) -> PregateFetch:
        """The prefetcher.

        Raises:
            ConfigError: if `staging` is negative.
        """
        if self.staging < 0:
            raise ConfigError(f"prefetcher.staging={self.staging} is negative; give slots, or 0 for enough")
        depth = max(1, context.router.depth if context.router is not None else 1)
        shape = context.shape
        return PregateFetch(depth, self.staging or (depth + 1) * shape.experts - shape.top_k)


class PregateFetch(Prefetcher):
    """Follows the decisions of the router `depth` layers ahead (from the first layer: of all up to there)."""

    def __init__(self, depth: int, staging: int) -> None:
        self.depth = depth
        self.staging = staging

    def plan(
        self, layer: int, demands: Sequence[Demand], lookahead: Lookahead | None, view: ResidencyView
    ) -> PrefetchPlan | None:
        """What was decided in this layer and is not on the device."""
        if lookahead is None:
            return None
        nearest = 1 if layer == 0 else self.depth
        decided = [
            expert_key(layer + distance, demand.expert, HIGH)
            for distance in range(nearest, min(self.depth, lookahead.depth) + 1)
            for demand in lookahead.demands(distance)
        ]
        return PrefetchPlan([key for key in decided if not view.held(key.layer, key.expert) & 1])
