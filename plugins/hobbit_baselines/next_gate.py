"""Speculative loading with the next layer's gate: mixtral-offloading."""

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


@dataclass
class NextGateComponent(PrefetcherComponent):
    """The next layer's gate names the top `fetch` experts, which go into `staging` buffers.

    The published system fetches 1 or 2 experts into 4 buffers, at its one precision; a buffered expert
    enters the cache, and evicts, only when it is really used.
    """

    name: ClassVar[str] = "next_gate"
    effect: ClassVar[Effect] = Effect.HINT
    source: ClassVar[str] = "mixtral-offloading, arXiv 2312.17238, section 3.2"

    fetch: int = 2
    staging: int = 4

    def build(self, context: Context) -> NextGate:
        """The prefetcher.

        Raises:
            ConfigError: if `fetch` is not between 1 and `staging`.
        """
        if not 1 <= self.fetch <= self.staging:
            raise ConfigError(
                f"prefetcher.fetch={self.fetch} must lie between 1 and prefetcher.staging={self.staging}"
            )
        return NextGate(self.fetch, self.staging)


class NextGate(Prefetcher):
    """Looks one layer ahead; keeps nothing from eviction."""

    depth = 1

    def __init__(self, fetch: int, staging: int) -> None:
        self.staging = staging
        self._fetch = fetch

    def plan(
        self, layer: int, demands: Sequence[Demand], lookahead: Lookahead | None, view: ResidencyView
    ) -> PrefetchPlan | None:
        """The heaviest predictions for the next layer that are not on the device."""
        if lookahead is None or lookahead.depth < 1:
            return None
        target = layer + 1
        likely = lookahead.demands(1)[: self._fetch]
        return PrefetchPlan(
            [ExpertKey(target, d.expert, HIGH) for d in likely if not view.held(target, d.expert) & 1]
        )
