"""Seam: who is evicted, and how slots are shared among layers and precisions."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from hobbit.types import ExpertKey, RoutingShape


@dataclass(frozen=True, slots=True)
class Allocation:
    """How one level's slots are shared. One entry: a global pool. L entries: a pool for each layer."""

    slots: tuple[int, ...]

    @property
    def per_layer(self) -> bool:
        """True if each layer has slots of its own."""
        return len(self.slots) > 1

    @property
    def total(self) -> int:
        """Slots of the level in all."""
        return sum(self.slots)


@dataclass(slots=True)
class PoolView:
    """The full pool in which a victim is sought: one entry a slot, arrays of shape [S].

    `experts` holds flat ids `layer * E + expert` of the residents, `layers` their layers. `level` is the
    precision the pool holds. Policies read it; they never write to it.
    """

    level: int
    experts: npt.NDArray[np.int64]
    layers: npt.NDArray[np.int64]


class CachePolicy(Protocol):
    """Ranks residents for eviction. It never evicts: the runtime does, and tells it what happened."""

    keeps: bool
    """False: nothing outlives its layer (no cache at all); the runtime empties the slots after each layer."""

    def allocate(self, level: int, slots: int, shape: RoutingShape) -> Allocation:
        """Share `slots` slots of `level` among the layers; the total must be `slots`."""
        ...

    def scores(self, pool: PoolView, incoming: ExpertKey) -> npt.NDArray[np.float64]:
        """Worth of every resident, [S]: the least leaves that may be evicted; ties go to the lowest slot.

        A worth of +inf means never: if nobody else may leave, `incoming` gets no slot.
        """
        ...

    def warm(self, level: int, allocation: Allocation) -> Sequence[tuple[int, int]]:
        """Distinct (layer, expert) to be resident at `level` before the first token, best first.

        They are loaded as far as their pools have room, before anything is counted or timed.
        """
        ...

    def begin_sequence(self) -> None:
        """A new sequence starts (its use records are already reset)."""
        ...

    def observe(self, layer: int, experts: Sequence[int], tokens: Sequence[int]) -> None:
        """The router of `layer` chose these experts, each for so many tokens; called before any eviction."""
        ...


def allocate_evenly(slots: int, layers: int) -> Allocation:
    """A pool per layer; the first `slots % layers` layers get one slot more."""
    share, extra = divmod(slots, layers)
    return Allocation(tuple(share + (layer < extra) for layer in range(layers)))


class ScoredCache(ABC):
    """Base for a cache policy in a few lines: write `scores`, inherit a global pool and no state.

    `per_layer=None` decides by itself: one global pool when it can hold a token's working set (K x L),
    else an even share for each layer, since a global scan would then evict everything before it returns.
    """

    keeps: bool = True

    def __init__(self, per_layer: bool | None = False) -> None:
        self.per_layer = per_layer

    def allocate(self, level: int, slots: int, shape: RoutingShape) -> Allocation:
        """One global pool, or an even share per layer; see the class."""
        split = slots < shape.working_set if self.per_layer is None else self.per_layer
        # A layer without a slot could not run at all: too few slots stay in one pool.
        if split and slots >= shape.layers:
            return allocate_evenly(slots, shape.layers)
        return Allocation((slots,))

    @abstractmethod
    def scores(self, pool: PoolView, incoming: ExpertKey) -> npt.NDArray[np.float64]:
        """Worth of every resident, [S]; the least leaves."""

    def warm(self, level: int, allocation: Allocation) -> Sequence[tuple[int, int]]:
        """Nobody: the cache fills as experts are demanded."""
        return ()

    def begin_sequence(self) -> None:
        """Nothing to forget."""
        return

    def observe(self, layer: int, experts: Sequence[int], tokens: Sequence[int]) -> None:
        """Nothing to learn beyond the shared records."""
        return
