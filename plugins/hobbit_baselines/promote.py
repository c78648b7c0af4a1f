"""DynaExq's promotion: high copies in the background."""

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
class PromoteComponent(PrefetcherComponent):
    """Offers high copies of the experts that the running layer used most, for its next pass.

    `fetch` copies a layer are offered at most; the cache refuses those that are not hotter than what it
    holds (cache=low_everywhere). A copy has a whole pass to arrive before its layer comes round.

    Our reading: the published system promotes at the end of windows of requests; here an expert is weighed
    whenever it is used, since one that is not cannot have become hotter.
    """

    name: ClassVar[str] = "promote"
    effect: ClassVar[Effect] = Effect.HINT
    source: ClassVar[str] = "DynaExq, arXiv 2511.15015"

    fetch: int = 1

    def build(self, context: Context) -> Promote:
        """The prefetcher.

        Raises:
            ConfigError: if `fetch` is below 1.
        """
        if self.fetch < 1:
            raise ConfigError(f"prefetcher.fetch={self.fetch} promotes nothing; use 1 or prefetcher=none")
        return Promote(self.fetch)


class Promote(Prefetcher):
    """Needs no look-ahead: it plans for the layer that is running, in the next pass."""

    def __init__(self, fetch: int) -> None:
        self._fetch = fetch

    def plan(
        self, layer: int, demands: Sequence[Demand], lookahead: Lookahead | None, view: ResidencyView
    ) -> PrefetchPlan | None:
        """The most used experts of this layer that have no high copy."""
        low = [d for d in demands if not view.held(layer, d.expert) & 1]
        low.sort(key=lambda demand: -demand.tokens)
        return PrefetchPlan([expert_key(layer, d.expert, HIGH) for d in low[: self._fetch]])
