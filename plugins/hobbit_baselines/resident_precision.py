"""DynaExq's serving: whatever precision is resident."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from hobbit.api import HIGH, LOW, Action, Context, Decision, Demand, Effect, LoaderComponent

_DECISIONS = (
    Decision(Action.LOAD, LOW),
    Decision(Action.USE, HIGH),
    Decision(Action.USE, LOW),
    Decision(Action.USE, HIGH),
)
"""By the mask of levels held."""


@dataclass
class ResidentPrecisionComponent(LoaderComponent):
    """Uses the high copy where it is resident, else the low one; never waits for a better one.

    Beside a cache that holds a low copy of every expert nothing is loaded on the critical path; beside any
    other, what is not resident at all is loaded low.
    """

    name: ClassVar[str] = "resident_precision"
    effect: ClassVar[Effect] = Effect.QUALITY
    source: ClassVar[str] = "DynaExq, arXiv 2511.15015"

    def build(self, context: Context) -> ResidentPrecision:
        """The loader."""
        return ResidentPrecision()


class ResidentPrecision:
    """Decides by residency alone."""

    levels = 2
    renormalise = False
    whole_layers = False

    def resolve(self, layer: int, demands: Sequence[Demand], held: Sequence[int]) -> list[Decision]:
        """USE the best that is held, else LOAD low."""
        return [_DECISIONS[mask] for mask in held]

    def level_for(self, score: float) -> int | None:
        """Always low: high copies come by promotion, not on demand."""
        return LOW
