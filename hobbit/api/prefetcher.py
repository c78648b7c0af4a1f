"""Seam: which experts to bring before they are asked for."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from hobbit.api.loader import serving_level
from hobbit.types import HIGH, Demand, ExpertKey, expert_key, expert_keys


class Lookahead(Protocol):
    """Predicted demands of later layers, worked out only when asked for."""

    @property
    def depth(self) -> int:
        """How many later layers can be asked about from this layer."""
        ...

    def demands(self, distance: int) -> Sequence[Demand]:
        """Demands predicted for the layer `distance` ahead (1..depth), in falling gate weight."""
        ...

    def experts(self, distance: int) -> Sequence[int]:
        """The experts of `demands`, in their order, for who needs nothing else of them: this takes less."""
        return [demand.expert for demand in self.demands(distance)]


class ResidencyView(Protocol):
    """What is on the device, or already on its way to it."""

    def held(self, layer: int, expert: int) -> int:
        """Bit mask of the levels held: bit 0 high, bit 1 low."""
        ...

    def held_in(self, layer: int) -> Sequence[int]:
        """`held` of every expert of a layer, [E]: read it at once, for it changes with the residency."""
        ...


@dataclass(slots=True)
class PrefetchPlan:
    """`fetch`: copies to queue, most urgent first. `keep`: resident copies to mask until their layer ran.

    Whatever is fetched is masked too (HOBBIT, section 3.3).
    """

    fetch: list[ExpertKey] = field(default_factory=list)
    keep: list[ExpertKey] = field(default_factory=list)


class Prefetcher(Protocol):
    """Predicts later layers. Asked once a layer, after the on-demand loads of that layer are queued.

    Who inherits from it writes `plan`, and of the rest what differs from here.
    """

    depth: int = 0
    """Layers of gate look-ahead wanted (0: none); the engine computes no more than this."""

    staging: int = 0
    """Staging slots wanted. 0: prefetched experts go into the cache and may evict. N: they go into N
    staging slots and enter the cache only when really used (mixtral-offloading)."""

    def begin_sequence(self) -> None:
        """A new sequence starts; nothing is forgotten unless this says so."""
        return

    @abstractmethod
    def plan(
        self, layer: int, demands: Sequence[Demand], lookahead: Lookahead | None, view: ResidencyView
    ) -> PrefetchPlan | None:
        """What to bring or keep for the layers after `layer`; None for nothing.

        `demands` are this layer's own, `lookahead` the gate predictions (None where routers cannot be read).
        """
        ...


Predicted = tuple[list[ExpertKey], list[ExpertKey]]
"""Copies of one layer that are missing, and those held."""


def predicted_copies(
    layer: int,
    depth: int,
    lookahead: Lookahead,
    view: ResidencyView,
    level_for: Callable[[float], int | None],
) -> Iterator[Predicted]:
    """What gates predict for each of the `depth` layers after `layer`, the nearest first: (missing, held).

    Both are in falling gate weight. `level_for` is the loader's: a copy that may serve the demand is held,
    others are missing at the level wanted; who would be skipped is neither.
    """
    # Who matters least deserves no more than the others do: the common case needs no scores.
    high_alone = level_for(1.0) == HIGH
    for distance in range(1, min(depth, lookahead.depth) + 1):
        later = layer + distance
        levels = view.held_in(later)
        if high_alone:
            yield _high_copies(later, lookahead.experts(distance), levels)
        else:
            yield _copies(later, lookahead.demands(distance), levels, level_for)


def _high_copies(layer: int, experts: Sequence[int], levels: Sequence[int]) -> Predicted:
    keys = expert_keys(layer, HIGH, len(levels))
    missing = [keys[expert] for expert in experts if not levels[expert] & 1]
    return missing, [keys[expert] for expert in experts if levels[expert] & 1]


def _copies(
    layer: int, demands: Sequence[Demand], levels: Sequence[int], level_for: Callable[[float], int | None]
) -> Predicted:
    missing: list[ExpertKey] = []
    held: list[ExpertKey] = []
    for expert, _, score, _ in demands:
        wanted = level_for(score)
        if wanted is None:
            continue
        mask = levels[expert]
        # A high copy serves everything: the common case spares a call.
        resident = HIGH if mask & 1 else serving_level(mask, wanted)
        if resident is None:
            missing.append(expert_key(layer, expert, wanted))
        else:
            held.append(expert_key(layer, expert, resident))
    return missing, held
