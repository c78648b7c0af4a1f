"""The words that every room shares. No torch, no numpy: plain values.

Letters used in shapes throughout: T tokens of one forward pass, L MoE layers, E experts a layer,
K experts chosen per token, D look-ahead depth, P precision levels, S slots.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, IntEnum
from functools import cache
from typing import NamedTuple

HIGH = 0
"""Level of the high precision; larger levels are lower precisions."""

LOW = 1
"""Level of the low precision, where a run has one."""


class ExpertKey(NamedTuple):
    """One copy of one expert: two precisions of an expert never alias (HOBBIT, section 3.4)."""

    layer: int
    expert: int
    level: int


expert_key = cache(ExpertKey)
"""The one `ExpertKey(layer, expert, level)` of these numbers, at a third of the cost of a new one."""


@cache
def expert_keys(layer: int, level: int, experts: int) -> tuple[ExpertKey, ...]:
    """The keys of all E experts of a layer at one level, by expert: for who asks for several of a layer."""
    return tuple(expert_key(layer, expert, level) for expert in range(experts))


class Effect(str, Enum):
    """What a component may change: its place in every honest table."""

    HINT = "hint"  # wrong means slower; the tokens stay those of the resident model
    EXACT = "exact"  # routes known ahead by construction
    QUALITY = "quality"  # may change outputs: lossy


class RecordScope(Enum):
    """What the use records of cache policies span: one sequence (HOBBIT), or all of a run."""

    sequence = "sequence"
    model = "model"


class Action(IntEnum):
    """How one demand is served."""

    USE = 0  # a resident copy
    LOAD = 1  # copy it to the device first
    SKIP = 2  # leave the expert out
    HOST = 3  # run it where it lies, in the host's memory


class Demand(NamedTuple):
    """An expert that the router just chose in one layer, over all T tokens of the pass.

    `score` is HOBBIT's unimportance: the sum of the normalised gate weights ranked before this expert,
    smallest over the tokens that chose it, in [0, 1] (section 3.2). `weight` is the largest normalised
    gate weight, `tokens` how many tokens chose it (0: the whole layer is brought, and nobody chose this one).
    """

    expert: int
    weight: float
    score: float
    tokens: int


class Decision(NamedTuple):
    """What a loader makes of one demand: the action, and the precision level it is served at.

    `share`, for `Action.HOST` alone, is the part of the expert's F hidden units that the host computes, in
    [0, 1]. The device computes the others from the same blob, in place, over the link; the two sums add up.
    """

    action: Action
    level: int
    share: float = 1.0


RESIDENT = Decision(Action.USE, HIGH)
SKIPPED = Decision(Action.SKIP, -1)


@dataclass(frozen=True, slots=True)
class RoutingShape:
    """The part of a model that a policy sees: L layers of E experts, K chosen per token."""

    layers: int
    experts: int
    top_k: int

    @property
    def working_set(self) -> int:
        """Experts that one token touches: K x L."""
        return self.top_k * self.layers
