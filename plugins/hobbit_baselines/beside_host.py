"""Prefetches that hide behind the host: while it computes, the link brings what later layers will miss."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from hobbit.api import (
    Context,
    CostModel,
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
class BesideHostComponent(PrefetcherComponent):
    """While the host runs a layer's misses, brings as many of later layers' as the link can meanwhile.

    With one or two misses a layer, a split between host and link leaves one of them idle. Here the host takes
    this layer's miss and the link the next one's, predicted by the stacked gates up to `depth` layers ahead;
    a layer that keeps the host idle prefetches nothing, for it would only be waited for. Ours.
    """

    name: ClassVar[str] = "beside_host"
    effect: ClassVar[Effect] = Effect.HINT
    source: ClassVar[str] = "ours, after FreeToken (arXiv 2608.16157) and HOBBIT (arXiv 2411.01433)"

    depth: int = 2
    slack: float = 0.25

    def build(self, context: Context) -> BesideHost:
        """The prefetcher.

        Raises:
            ConfigError: if `depth` is below 1, or the device cannot tell what host and link cost.
        """
        if self.depth < 1:
            raise ConfigError(
                f"prefetcher.depth={self.depth} looks nowhere; use 1 or more, or prefetcher=none"
            )
        if context.loader is None or context.costs is None:
            raise ConfigError(
                "prefetcher=beside_host weighs the host against the link; use a device that knows both"
            )
        return BesideHost(self.depth, self.slack, context.loader, context.costs)


class BesideHost(Prefetcher):
    """Plans within the time that the host takes, give or take a share `slack` of one copy."""

    def __init__(self, depth: int, slack: float, loader: Loader, costs: CostModel) -> None:
        self.depth = depth
        self._slack = slack
        self._level_for = loader.level_for
        self._costs = costs

    def plan(
        self, layer: int, demands: Sequence[Demand], lookahead: Lookahead | None, view: ResidencyView
    ) -> PrefetchPlan | None:
        """Fetch the nearest, heaviest predicted misses for as long as the host is busy with this layer."""
        spare = self._host_ns(layer, demands, view)
        if lookahead is None or spare <= 0:
            return None
        fetch: list[ExpertKey] = []
        for missing, _ in predicted_copies(layer, self.depth, lookahead, view, self._level_for):
            for key in missing:
                copy = self._costs.copy_ns(key.level)
                if spare < copy * (1 - self._slack):
                    return PrefetchPlan(fetch, [])
                fetch.append(key)
                spare -= copy
        return PrefetchPlan(fetch, [])

    def _host_ns(self, layer: int, demands: Sequence[Demand], view: ResidencyView) -> int:
        """How much longer than this layer's own copies the host is busy: what is neither there nor coming."""
        held = view.held_in(layer)
        busy = 0
        for expert, _, score, tokens in demands:
            wanted = self._level_for(score)
            if wanted is not None and not held[expert]:
                busy += self._costs.host_ns(wanted, tokens)
        return busy
