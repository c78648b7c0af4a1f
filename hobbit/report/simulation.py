"""SimulationReport: policies on recorded or generated routing, without a model."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

from hobbit.report import headings
from hobbit.report.measures import Measures, Replayed
from hobbit.report.report import Report, Section
from hobbit.report.sections import memory_section, replays_section, speed_section
from hobbit.setup import QueueOptions


@dataclass(frozen=True, slots=True)
class SimulationReport(Report):
    """`trace` names where the routing comes from. No model runs, so that there is no quality to tell."""

    task: ClassVar[str] = "simulate"
    trace: str
    sequences: int
    tokens: int
    queue: QueueOptions
    measures: Measures
    replayed: tuple[Replayed, ...]

    def heading(self) -> Iterable[tuple[str, str]]:
        """Routing, clock, policy."""
        origin = headings.origin(self.scene, self.trace)
        yield "routing", f"{origin}; {self.sequences} sequences, {self.tokens} tokens"
        if self.queue.waiting > 1:
            yield "queue", f"{self.queue.waiting} requests at once, batches of {self.queue.budget} at most"
        yield from headings.speeds(self.scene)
        yield from headings.policy(self.scene)
        yield "quality", "n/a: no model runs"

    def sections(self) -> Iterable[Section]:
        """Budget, speed and replays, each marked where the routing is synthetic."""
        scene, mark = self.scene, ", synthetic" if self.scene.synthetic else ""
        yield memory_section(scene)
        yield speed_section(scene, "this policy", self.measures, mark)
        if self.replayed:
            kind = {"routing": "synthetic" if scene.synthetic else "recorded"}
            yield replays_section(scene, "this policy", self.measures, self.replayed, kind)
