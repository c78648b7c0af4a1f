"""FreeToken: split the misses of a layer between the link and the host."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from hobbit.api import HIGH, Context, CostModel, Demand, Effect, LoaderComponent, least_maximum
from hobbit_baselines.host_split import HostSplit, costs_of, lightest_first
from hobbit_baselines.on_demand import OnDemand


@dataclass
class BalancedComponent(LoaderComponent):
    """Splits a layer's misses between link and host so that both are done soonest.

    The paper splits m misses by bandwidth, q* = m * B_link / B_host, inside a CUDA graph. Our reading: of all
    splits into whole experts the one with the least max(link time, host time), from the device's constants;
    the host takes those with the fewest tokens, then the least gate weight. Where memory is unified, link and
    host draw from the same disk: nothing is gained by a split, and every miss is loaded. What the host runs
    never enters the cache; the preset therefore starts with popular experts in it.
    """

    name: ClassVar[str] = "balanced"
    effect: ClassVar[Effect] = Effect.HINT
    source: ClassVar[str] = "FreeToken, arXiv 2608.16157 (our reading)"

    def build(self, context: Context) -> Balanced | OnDemand:
        """The loader. Raises ConfigError if the device cannot tell what its host costs."""
        return OnDemand() if context.unified else Balanced(costs_of(context, self.name))


class Balanced(HostSplit):
    """Weighs the link against the host; what the device computes meanwhile is short beside either."""

    def __init__(self, costs: CostModel) -> None:
        self._costs = costs

    def hosted(self, misses: Sequence[Demand], hits: Sequence[Demand]) -> list[Demand]:
        """The lightest, as many as let the slower of link and host end soonest."""
        costs, order = self._costs, lightest_first(misses)
        host = [costs.host_ns(HIGH, demand.tokens) for demand in order]
        return order[: least_maximum(host, [costs.copy_ns(HIGH)] * len(order))]
