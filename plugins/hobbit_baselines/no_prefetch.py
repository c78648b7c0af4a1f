"""No prefetching."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from hobbit.api import (
    Context,
    Demand,
    Effect,
    Lookahead,
    Prefetcher,
    PrefetcherComponent,
    PrefetchPlan,
    ResidencyView,
)


@dataclass
class NoPrefetchComponent(PrefetcherComponent):
    """Brings nothing early."""

    name: ClassVar[str] = "none"
    effect: ClassVar[Effect] = Effect.HINT
    source: ClassVar[str] = "the plain offloading baseline"

    def build(self, context: Context) -> NoPrefetch:
        """The prefetcher."""
        return NoPrefetch()


class NoPrefetch(Prefetcher):
    """Asks for no look-ahead and plans nothing."""

    def plan(
        self, layer: int, demands: Sequence[Demand], lookahead: Lookahead | None, view: ResidencyView
    ) -> PrefetchPlan | None:
        """Nothing."""
        return None
