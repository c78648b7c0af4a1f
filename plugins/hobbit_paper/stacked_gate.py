"""Layer-level adaptive prefetching: HOBBIT, section 3.3."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from hobbit.api import (
    Context,
    Demand,
    Effect,
    ExpertKey,
    Loader,
    Lookahead,
    Prefetcher,
    PrefetcherComponent,
    PrefetchPlan,
    ResidencyView,
    predicted_copies,
)
from hobbit.errors import ConfigError


@dataclass
class StackedGateComponent(PrefetcherComponent):
    """Stacked gates look up to `depth` layers ahead and stop at the first layer that misses an expert.

    The gate input of the running layer goes through the gates of the next `depth` layers (HOBBIT: 1-3,
    MoE-APEX: 2-4). Layers whose predicted experts are all resident are passed over, and kept from eviction;
    the missing experts of the first other layer are fetched at the precision the loader would give them.

    Prefetching by itself changes no output. Beside a mixed-precision loader a prefetched high copy may serve
    a demand that would have been served low, as any resident copy may. Our reading: predictions of the
    skip class are neither fetched nor kept.
    """

    name: ClassVar[str] = "stacked_gate"
    effect: ClassVar[Effect] = Effect.HINT
    source: ClassVar[str] = "HOBBIT, arXiv 2411.01433, section 3.3"

    depth: int = 3

    def build(self, context: Context) -> StackedGate:
        """The prefetcher.

        Raises:
            ConfigError: if `depth` is below 1, or there is no loader to take precisions from.
        """
        if self.depth < 1:
            raise ConfigError(
                f"prefetcher.depth={self.depth} looks nowhere; use 1 or more, or prefetcher=none"
            )
        if context.loader is None:
            raise ConfigError(
                "prefetcher=stacked_gate asks the loader for precisions; build the loader first"
            )
        return StackedGate(self.depth, context.loader)


class StackedGate(Prefetcher):
    """Plans for the nearest layer with a missing expert; its prefetches go into the cache itself."""

    def __init__(self, depth: int, loader: Loader) -> None:
        self.depth = depth
        self._level_for = loader.level_for

    def plan(
        self, layer: int, demands: Sequence[Demand], lookahead: Lookahead | None, view: ResidencyView
    ) -> PrefetchPlan | None:
        """Keep what is resident layer by layer, until a layer misses something; fetch that."""
        if lookahead is None:
            return None
        keep: list[ExpertKey] = []
        for missing, held in predicted_copies(layer, self.depth, lookahead, view, self._level_for):
            keep += held
            if missing:
                return PrefetchPlan(missing, keep)
        return PrefetchPlan([], keep)
