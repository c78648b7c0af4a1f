"""Report: what a task has to say, as data. Tables and JSON are two faces of it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, NamedTuple

from rich.console import RenderableType

from hobbit.report.scene import Scene

FORMAT = "hobbit-report"
VERSION = 1
"""Keys may be added within a version (docs/tasks.md lists them); a changed meaning raises it."""


class Section(NamedTuple):
    """One table under its title."""

    title: str
    table: RenderableType


@dataclass(frozen=True, slots=True)
class Report(ABC):
    """Base of every report."""

    task: ClassVar[str] = ""
    scene: Scene

    @abstractmethod
    def heading(self) -> Iterable[tuple[str, str]]:
        """Lines above the tables, as (label, text)."""

    @abstractmethod
    def sections(self) -> Iterable[Section]:
        """The tables, in order."""

    def preface(self) -> str:
        """Text that a file begins with; on a terminal it has already been streamed."""
        return ""

    def to_json(self) -> dict[str, Any]:
        """Plain values, ready for `json.dumps`; the scene's stand beside the report's own."""
        own = asdict(self)
        scene = own.pop("scene")
        return {"format": FORMAT, "version": VERSION, "task": self.task, **scene, **own}
