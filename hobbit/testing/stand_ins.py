"""The smallest things that a component may be built or asked with."""

from __future__ import annotations

from collections.abc import Sequence

from hobbit.api import HIGH, LOW, SKIPPED, Action, Decision, Demand, serving_level


class FixedCosts:
    """The host beats a copy for one token and loses for more."""

    def copy_ns(self, level: int) -> int:
        """A low copy takes a quarter of a high one."""
        return 1000 if level == HIGH else 250

    def device_ns(self, level: int, tokens: int) -> int:
        """Next to nothing."""
        return 10

    def host_ns(self, level: int, tokens: int) -> int:
        """By the token."""
        return 200 * tokens

    def in_place_ns(self, level: int, tokens: int) -> int | None:
        """One token at a time, as fast as a copy."""
        return self.copy_ns(level) if tokens == 1 else None


class SplitLoader:
    """Serves scores up to 0.5 high, up to 0.9 low, and skips the rest; with one level everything is high."""

    renormalise = False
    whole_layers = False

    def __init__(self, levels: int) -> None:
        self.levels = levels

    def level_for(self, score: float) -> int | None:
        """See the class."""
        if score <= 0.5 or self.levels == 1:
            return HIGH
        return LOW if score <= 0.9 else None

    def resolve(self, layer: int, demands: Sequence[Demand], held: Sequence[int]) -> list[Decision]:
        """Use what serves, else load what the score deserves."""
        return [self._decide(demand, mask) for demand, mask in zip(demands, held, strict=True)]

    def _decide(self, demand: Demand, held: int) -> Decision:
        wanted = self.level_for(demand.score)
        resident = serving_level(held, LOW if wanted is None else wanted)
        if resident is not None:
            return Decision(Action.USE, resident)
        return SKIPPED if wanted is None else Decision(Action.LOAD, wanted)


class Holding:
    """A residency that never changes: `masks[layer][expert]` are the levels held."""

    def __init__(self, masks: Sequence[Sequence[int]]) -> None:
        self.masks = masks

    def held(self, layer: int, expert: int) -> int:
        """Bit mask of the levels held."""
        return self.masks[layer][expert]

    def held_in(self, layer: int) -> Sequence[int]:
        """The masks of a layer."""
        return self.masks[layer]
