"""RunReport: a live run, its measures, its quality, and its routing under other presets."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from hobbit.report import headings
from hobbit.report.measures import Measures, Replayed
from hobbit.report.report import Report, Section
from hobbit.report.sections import memory_section, replays_section, speed_section
from hobbit.report.tables import quality_table

if TYPE_CHECKING:
    from hobbit.engine.quality import Quality


@dataclass(frozen=True, slots=True)
class RunReport(Report):
    """Tokens and quality are live; speeds are so unless the scene is simulated."""

    task: ClassVar[str] = "run"
    prompt: str
    prompt_tokens: int
    text: str
    token_ids: tuple[int, ...]
    measures: Measures
    quality: Quality | None
    replayed: tuple[Replayed, ...]

    def heading(self) -> Iterable[tuple[str, str]]:
        """Model, clock, policy and prompt."""
        yield "model", f"{self.scene.model}; its tokens and quality are live"
        yield from headings.speeds(self.scene)
        yield from headings.policy(self.scene)
        yield (
            "prompt",
            f"{self.prompt_tokens} tokens, {len(self.token_ids)} generated, seed {self.scene.seed}",
        )

    def sections(self) -> Iterable[Section]:
        """Budget, speed, replays and quality."""
        scene = self.scene
        yield memory_section(scene)
        yield speed_section(scene, "this run", self.measures)
        if self.replayed:
            yield replays_section(scene, "this run", self.measures, self.replayed)
        if self.quality is not None:
            scores = {**self.quality.domains, "all": self.quality.overall}
            yield Section(f"quality in decode (live; {scene.loss})", quality_table(scores))

    def preface(self) -> str:
        """The prompt and its continuation."""
        return f"{self.prompt}{self.text}\n"
