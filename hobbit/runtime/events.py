"""What observers hear of: the runtime's events, and the tuple of callables it calls."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import NamedTuple

from hobbit.api import Copy, Decision, Demand, ExpertKey

_tokens = itemgetter(Demand._fields.index("tokens"))


class Outcome(NamedTuple):
    """What became of the demands with one and the same decision: how many, and how many tokens chose them."""

    decision: Decision
    demands: int
    tokens: int


@dataclass(slots=True)
class LayerEvent:
    """All that happened in one layer of one pass.

    `held[i]` is the mask of levels that demand i found resident or in flight; `loads` are the on-demand
    copies, `prefetches` those issued for later layers, `first_uses` the prefetched copies that served a
    demand for the first time; `dropped` prefetches found no slot or came too late to be issued.
    `stall_ns` is the time lost to waiting, on the device's clock.
    """

    layer: int
    tokens: int
    demands: Sequence[Demand]
    held: Sequence[int]
    decisions: Sequence[Decision]
    loads: Sequence[Copy]
    prefetches: Sequence[Copy]
    evicted: Sequence[ExpertKey]
    first_uses: Sequence[Copy]
    dropped: int
    stall_ns: int
    _outcomes: Sequence[Outcome] = ()

    @property
    def outcomes(self) -> Sequence[Outcome]:
        """The demands by their decision, counted once for all who listen."""
        if not self._outcomes:
            self._outcomes = _outcomes(self.demands, self.decisions)
        return self._outcomes


def _outcomes(demands: Sequence[Demand], decisions: Sequence[Decision]) -> list[Outcome]:
    first = decisions[0]
    if decisions.count(first) == len(decisions):  # as a rule: all is resident
        return [Outcome(first, len(decisions), sum(map(_tokens, demands)))]
    served: dict[Decision, list[int]] = {}
    for demand, decision in zip(demands, decisions, strict=True):
        served.setdefault(decision, []).append(demand.tokens)
    return [Outcome(decision, len(tokens), sum(tokens)) for decision, tokens in served.items()]


class Observer:
    """Base of observers: override what you want to hear."""

    def begin_sequence(self) -> None:
        """A new sequence starts."""

    def begin_pass(self, tokens: int, context: int, requests: int) -> None:
        """A forward pass of T tokens, of so many requests, starts after `context` tokens."""

    def layer(self, event: LayerEvent) -> None:
        """A layer has run."""

    def end_pass(self) -> None:
        """The pass is over."""


class Bus:
    """The observers' methods, bound once, so that telling them costs a call and nothing else."""

    __slots__ = ("begin_pass", "begin_sequence", "end_pass", "layer")

    def __init__(self, observers: Sequence[Observer]) -> None:
        self.begin_sequence: tuple[Callable[[], None], ...] = tuple(o.begin_sequence for o in observers)
        self.begin_pass: tuple[Callable[[int, int, int], None], ...] = tuple(o.begin_pass for o in observers)
        self.layer: tuple[Callable[[LayerEvent], None], ...] = tuple(o.layer for o in observers)
        self.end_pass: tuple[Callable[[], None], ...] = tuple(o.end_pass for o in observers)
