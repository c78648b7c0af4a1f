"""Fate's prefetching: the next gate, where it is sure."""

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
class FateComponent(PrefetcherComponent):
    """The next layer's gate on this layer's input names the experts; only confident predictions are fetched.

    Confidence is the predicted gate weight, normalised over the top K; in passes of several tokens the
    largest of any token. Predictions that are on the device already are kept until their layer has run. Our
    reading: Fate's threshold and how it pins the first layers were not to be had; `cache=first_layers` pins.
    """

    name: ClassVar[str] = "fate"
    effect: ClassVar[Effect] = Effect.HINT
    source: ClassVar[str] = "Fate, arXiv 2502.12224"

    confidence: float = 0.4

    def build(self, context: Context) -> Fate:
        """The prefetcher.

        Raises:
            ConfigError: if `confidence` is not a share.
        """
        if not 0 <= self.confidence <= 1:
            raise ConfigError(
                f"prefetcher.confidence={self.confidence} is not a share; give a number from 0 to 1"
            )
        return Fate(self.confidence)


class Fate(Prefetcher):
    """Looks one layer ahead; its prefetches go into the cache itself."""

    depth = 1

    def __init__(self, confidence: float) -> None:
        self._confidence = confidence

    def plan(
        self, layer: int, demands: Sequence[Demand], lookahead: Lookahead | None, view: ResidencyView
    ) -> PrefetchPlan | None:
        """Fetch confident predictions that are missing, keep all that are held."""
        if lookahead is None or lookahead.depth < 1:
            return None
        plan = PrefetchPlan()
        for demand in lookahead.demands(1):
            key = ExpertKey(layer + 1, demand.expert, HIGH)
            if view.held(layer + 1, demand.expert) & 1:
                plan.keep.append(key)
            elif demand.weight >= self._confidence:
                plan.fetch.append(key)
        return plan
