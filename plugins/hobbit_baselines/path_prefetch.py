"""EdgeMoE's preloading: a table of the paths that tokens take through the experts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from hobbit.api import (
    HIGH,
    Context,
    Demand,
    Effect,
    ExpertKey,
    Lookahead,
    Prefetcher,
    PrefetcherComponent,
    PrefetchPlan,
    ResidencyView,
)
from hobbit.errors import ConfigError
from hobbit_baselines.path_table import PathTable


@dataclass
class PathPrefetchComponent(PrefetcherComponent):
    """Fetches the likeliest experts of the next layer by the experts of the last two layers.

    P(expert of l | experts of l-2 and l-1) is counted on the training routing at hand and on generated
    tokens as they come; paths that never occurred back off to one layer, then to the marginal. The published
    system preloads by falling probability until the router resolves, 1-3 experts; here the `fetch` likeliest
    are brought, if they are missing and at least `least` of the tokens on that path chose them. As a started
    copy is not interrupted, less sure ones cost more than they save on the bundled train traces.

    Our reading: in passes of several tokens the path is that of the experts with the largest gate weight,
    and nothing is learned.
    """

    name: ClassVar[str] = "path_table"
    effect: ClassVar[Effect] = Effect.HINT
    source: ClassVar[str] = "EdgeMoE, arXiv 2308.14352"

    fetch: int = 2
    least: float = 0.75
    order: int = 2

    def build(self, context: Context) -> PathPrefetch:
        """The prefetcher.

        Raises:
            ConfigError: if `fetch` is below 1, or `order` negative.
        """
        if self.fetch < 1:
            raise ConfigError(f"prefetcher.fetch={self.fetch} fetches nothing; use 1 or more")
        if self.order < 0:
            raise ConfigError(f"prefetcher.order={self.order} counts layers to look back; use 0 or more")
        table = PathTable(context.shape, self.order)
        table.learn_past(context.past())
        # Every token chooses K experts, so the counts of a path are K times its tokens.
        return PathPrefetch(table, context.shape.layers, self.fetch, self.least / context.shape.top_k)


class PathPrefetch(Prefetcher):
    """Follows the path of the running pass; its table stays. `least` is a share of selections."""

    def __init__(self, table: PathTable, layers: int, fetch: int, least: float) -> None:
        self._table = table
        self._layers = layers
        self._fetch = fetch
        self._least = least
        self._path: list[int] = []

    def plan(
        self, layer: int, demands: Sequence[Demand], lookahead: Lookahead | None, view: ResidencyView
    ) -> PrefetchPlan | None:
        """The likeliest experts of the next layer that are not on the device."""
        del self._path[layer:]
        chosen = [demand.expert for demand in demands if demand.tokens]
        if max(demand.tokens for demand in demands) == 1:
            self._table.learn(layer, self._path, chosen)
        self._path.append(chosen[0])
        target = layer + 1
        counts = self._table.counts(target, self._path) if target < self._layers else None
        if counts is None:
            return None
        least = max(self._least * float(counts.sum()), 0.5)  # an expert that never followed is no guess
        likely = [e for e in (-counts).argsort(kind="stable")[: self._fetch].tolist() if counts[e] >= least]
        return PrefetchPlan([ExpertKey(target, e, HIGH) for e in likely if not view.held(target, e) & 1])
