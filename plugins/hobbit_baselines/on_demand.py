"""Demand loading at one precision."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from hobbit.api import HIGH, RESIDENT, Action, Context, Decision, Demand, Effect, LoaderComponent

_LOAD = Decision(Action.LOAD, HIGH)


@dataclass
class OnDemandComponent(LoaderComponent):
    """Every miss is loaded at high precision; lossless."""

    name: ClassVar[str] = "on_demand"
    effect: ClassVar[Effect] = Effect.HINT
    source: ClassVar[str] = "the plain offloading baseline"

    def build(self, context: Context) -> OnDemand:
        """The loader."""
        return OnDemand()


class OnDemand:
    """Uses high copies, loads the others; there is no low cache."""

    levels = 1
    renormalise = False
    whole_layers = False

    def resolve(self, layer: int, demands: Sequence[Demand], held: Sequence[int]) -> list[Decision]:
        """USE where bit 0 is set, else LOAD."""
        return [RESIDENT if mask & 1 else _LOAD for mask in held]

    def level_for(self, score: float) -> int | None:
        """Always high."""
        return HIGH
