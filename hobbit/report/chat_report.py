"""ChatReport: what a chat has done so far under its policy."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

from hobbit.report import headings
from hobbit.report.measures import Measures
from hobbit.report.report import Report, Section
from hobbit.report.sections import memory_section, speed_section


@dataclass(frozen=True, slots=True)
class ChatReport(Report):
    """`preset` is the policy's name, `answers` counts those of the conversation."""

    task: ClassVar[str] = "chat"
    preset: str
    answers: int
    measures: Measures

    def heading(self) -> Iterable[tuple[str, str]]:
        """Model, clock, policy and answers."""
        yield "model", f"{self.scene.model}; its tokens are live"
        yield from headings.speeds(self.scene)
        yield from headings.policy(self.scene)
        yield "preset", f"{self.preset}, {self.answers} answers so far"

    def sections(self) -> Iterable[Section]:
        """The budget and the speed."""
        yield memory_section(self.scene)
        yield speed_section(self.scene, "this chat", self.measures)
