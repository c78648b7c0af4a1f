"""Every missing expert is shared: the host computes a part of it and the device the rest, where it lies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from hobbit.api import (
    HIGH,
    Action,
    Context,
    CostModel,
    Decision,
    Demand,
    Effect,
    LayerShares,
    LoaderComponent,
)
from hobbit_baselines.balanced import Balanced
from hobbit_baselines.host_split import costs_of
from hobbit_baselines.on_demand import OnDemand


@dataclass
class SharedComponent(LoaderComponent):
    """Splits each missing expert, not a layer's experts, between host and link. Ours, after FreeToken.

    Of every missing expert the host computes the first hidden units, from its memory, and the device the
    others, reading them over the link as it computes; their sums add up. Both are busy even where a layer
    misses one expert. The host's part is the one with which both end soonest, from the device's constants or
    measurements, what the device runs besides included where it cannot read meanwhile.

    Nothing that is missed enters the cache: what the prompt has left there stays, unless a prefetcher brings
    others (`prefetcher=promote` does so now and then). Where the device cannot read experts in place, and for
    passes of more than one token, misses are split as `balanced` does. On unified memory there is nothing to
    share, and every miss is loaded.
    """

    name: ClassVar[str] = "shared"
    effect: ClassVar[Effect] = Effect.HINT
    source: ClassVar[str] = "ours, after FreeToken (arXiv 2608.16157)"

    def build(self, context: Context) -> Shared | OnDemand:
        """The loader. Raises ConfigError if the device cannot tell what its host costs."""
        if context.unified:
            return OnDemand()
        return Shared(costs_of(context, self.name), context.shape.top_k)


class Shared(Balanced):
    """`top_k` tells how many tokens a layer's demands come from."""

    def __init__(self, costs: CostModel, top_k: int) -> None:
        super().__init__(costs)
        self._top_k = top_k
        self._share = LayerShares(costs)

    def served(self, misses: Sequence[Demand], hits: Sequence[Demand]) -> list[Decision]:
        """One and the same share for all of the layer's misses."""
        tokens = sum(demand.tokens for demand in (*misses, *hits)) // self._top_k
        missing = tuple([(HIGH, demand.tokens) for demand in misses])
        share = self._share(tokens, (HIGH,) * len(hits), missing)
        if share is None:
            return super().served(misses, hits)
        return [Decision(Action.HOST, HIGH, share)] * len(misses)
