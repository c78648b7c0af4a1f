"""Ceiling: Belady on each precision's slots, for the requests that a run made."""

from __future__ import annotations

from heapq import heappop, heappush

from hobbit.api import Action
from hobbit.runtime import Observer
from hobbit.runtime.events import LayerEvent


class Requests(Observer):
    """The stream of (flat id, decode) that each level was asked for on the device, in order."""

    def __init__(self, experts: int) -> None:
        self.levels: tuple[list[tuple[int, bool]], ...] = ([], [])
        self._experts = experts
        self._decode = False

    def begin_pass(self, tokens: int, context: int, requests: int) -> None:
        """Prompts warm the cache; only decoding counts."""
        self._decode = context > 0 and tokens <= requests

    def layer(self, event: LayerEvent) -> None:
        """Note what was served on the device, and at which level."""
        for demand, (action, level) in zip(event.demands, event.decisions, strict=True):
            if action in (Action.USE, Action.LOAD):
                self.levels[level].append((event.layer * self._experts + demand.expert, self._decode))


def least_misses(requests: list[tuple[int, bool]], slots: int) -> int:
    """Misses in decode of Belady's MIN on `slots` slots of one global pool: who is needed last leaves."""
    following: dict[int, int] = {}
    needed = [0] * len(requests)
    for position in reversed(range(len(requests))):
        expert = requests[position][0]
        needed[position] = following.get(expert, len(requests))
        following[expert] = position
    resident: dict[int, int] = {}
    furthest: list[tuple[int, int]] = []
    misses = 0
    for (expert, decode), again in zip(requests, needed, strict=True):
        if expert not in resident:
            misses += decode
            if len(resident) == slots:
                _evict(resident, furthest)
        resident[expert] = again
        heappush(furthest, (-again, expert))
    return misses


def _evict(resident: dict[int, int], furthest: list[tuple[int, int]]) -> None:
    """Take out who is needed last; entries of the heap that a later use has outdated are passed over."""
    while True:
        again, expert = heappop(furthest)
        if resident.get(expert) == -again:
            del resident[expert]
            return
