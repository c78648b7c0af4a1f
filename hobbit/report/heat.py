"""Heat: how often each expert of each layer is used, and how often it is there when it is."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from hobbit.api import Action
from hobbit.report import headings
from hobbit.report.report import Report, Section
from hobbit.report.tables import empty_table
from hobbit.runtime import LayerEvent, Observer
from hobbit.types import RoutingShape

Counts = npt.NDArray[np.int64]


class ExpertCounts(Observer):
    """Counts by layer and expert [L, E], in decode alone.

    `selections`: tokens that chose it. `hits` and `misses`: demands served on the device by a copy that was
    resident or in flight, and by one that had to be loaded; skipped and host-run demands are neither.
    """

    def __init__(self, shape: RoutingShape) -> None:
        size = (shape.layers, shape.experts)
        self.selections: Counts = np.zeros(size, np.int64)
        self.hits: Counts = np.zeros(size, np.int64)
        self.misses: Counts = np.zeros(size, np.int64)
        self._decode = False

    def begin_pass(self, tokens: int, context: int, requests: int) -> None:
        """Passes with several tokens of a request, and the first of a sequence, are prefill."""
        self._decode = context > 0 and tokens <= requests

    def layer(self, event: LayerEvent) -> None:
        """Add one layer's demands."""
        if not self._decode:
            return
        for demand, decision in zip(event.demands, event.decisions, strict=True):
            self.selections[event.layer, demand.expert] += demand.tokens
            if decision.action == Action.USE:
                self.hits[event.layer, demand.expert] += 1
            elif decision.action == Action.LOAD:
                self.misses[event.layer, demand.expert] += 1


@dataclass(frozen=True, slots=True)
class HeatReport(Report):
    """`files` hold the counts and their picture; `decode_tokens` were decoded.

    `uses` [L][E] are shares of the layer's selections, `hit_ratios` [L][E] hits over hits and misses, None
    for an expert that no demand wanted a copy of.
    """

    task: ClassVar[str] = "heat"
    trace: str
    files: tuple[str, ...]
    decode_tokens: int
    uses: tuple[tuple[float, ...], ...]
    hit_ratios: tuple[tuple[float | None, ...], ...]

    def heading(self) -> Iterable[tuple[str, str]]:
        """Files, routing, clock, policy."""
        yield "files", ", ".join(self.files)
        origin = headings.origin(self.scene, self.trace)
        yield "routing", f"{origin}; {self.decode_tokens} decoded tokens"
        yield from headings.speeds(self.scene)
        yield from headings.policy(self.scene)

    def sections(self) -> Iterable[Section]:
        """The most used expert of each layer."""
        table = empty_table(">layer", ">most used", ">of selections %", ">hits %", ">never used")
        for layer, (uses, ratios) in enumerate(zip(self.uses, self.hit_ratios, strict=True)):
            most = max(range(len(uses)), key=lambda expert: uses[expert])
            ratio, idle = ratios[most], sum(use == 0 for use in uses)
            hits = "n/a" if ratio is None else f"{100 * ratio:.1f}"
            table.add_row(str(layer), f"expert {most}", f"{100 * uses[most]:.1f}", hits, str(idle))
        title = "synthetic routing" if self.scene.synthetic else "recorded routing"
        yield Section(f"the most used expert of each layer ({title})", table)


def uses_of(counts: ExpertCounts) -> tuple[tuple[float, ...], ...]:
    """Shares [L][E] of each layer's selections; 0 where a layer has none."""
    totals = np.maximum(counts.selections.sum(axis=1, keepdims=True), 1)
    return tuple(map(tuple, (counts.selections / totals).tolist()))


def hit_ratios_of(counts: ExpertCounts) -> tuple[tuple[float | None, ...], ...]:
    """Hits over hits and misses [L][E]."""
    wanted = counts.hits + counts.misses
    return tuple(
        tuple(hits / all_ if all_ else None for hits, all_ in zip(row, row_wanted, strict=True))
        for row, row_wanted in zip(counts.hits.tolist(), wanted.tolist(), strict=True)
    )
