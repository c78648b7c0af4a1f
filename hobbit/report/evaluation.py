"""EvaluationReport: the quality of a policy, and how it served the tokens that quality was measured on."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from hobbit.report import headings
from hobbit.report.measures import Measures
from hobbit.report.report import Report, Section
from hobbit.report.sections import memory_section, speed_section
from hobbit.report.tables import quality_table

if TYPE_CHECKING:
    from hobbit.engine.quality import Quality


@dataclass(frozen=True, slots=True)
class EvaluationReport(Report):
    """`measures` speak of the same passages as `quality`."""

    task: ClassVar[str] = "evaluate"
    measures: Measures
    quality: Quality

    def heading(self) -> Iterable[tuple[str, str]]:
        """Model, clock and policy."""
        yield "model", f"{self.scene.model}; its quality is live"
        yield from headings.speeds(self.scene)
        yield from headings.policy(self.scene)

    def sections(self) -> Iterable[Section]:
        """Quality first, then what it was bought with."""
        scene = self.scene
        scores = {**self.quality.domains, "all": self.quality.overall}
        yield Section(f"quality in decode (live; {scene.loss})", quality_table(scores))
        yield memory_section(scene)
        yield speed_section(scene, "the same passages", self.measures)
