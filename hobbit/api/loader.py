"""Seam: what a demand becomes, given what is resident."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from hobbit.types import HIGH, Decision, Demand


class Loader(Protocol):
    """Turns demands into decisions. It reads residency; it never moves bytes or evicts."""

    levels: int
    """Precision levels it may load: 1 (high alone: no low cache is kept) or 2."""

    renormalise: bool
    """Whether the gate weights of the experts that remain after a skip are scaled to keep their sum."""

    whole_layers: bool
    """Whether every expert of a layer is demanded, chosen or not (accelerate). Those that nobody chose come
    last, as demands with tokens=0: they are loaded and waited for, but not run."""

    def resolve(self, layer: int, demands: Sequence[Demand], held: Sequence[int]) -> Sequence[Decision]:
        """Decide how each demand of `layer` is served.

        `demands` come in falling gate weight. `held[i]` is a bit mask of the levels at which demand i is
        resident or already on its way: bit 0 high, bit 1 low. Returns one decision per demand, in order;
        `Action.USE` is legal only for a level whose bit is set.
        """
        ...

    def level_for(self, score: float) -> int | None:
        """The level that a demand of this unimportance deserves when nothing is resident; None: skip it.

        It gets no more precise as `score` grows from 0 to 1: where 1.0 is worth a high copy, all are.
        Prefetchers use it, so that predictions are loaded at the precision a demand would get.
        """
        ...


def serving_level(held: int, wanted: int) -> int | None:
    """The best held level that is at least as precise as `wanted`; None if there is none.

    `held` is a bit mask of levels, bit 0 high: a high copy serves every demand, a low one no high demand.
    """
    if held & 1:
        return HIGH
    usable = held & ((2 << wanted) - 1)
    return (usable & -usable).bit_length() - 1 if usable else None
