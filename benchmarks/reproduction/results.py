"""Results: everything that the page shows, and the runs behind it, as one JSON file."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.reproduction.section import Section

FORMAT = "hobbit-reproduction"
VERSION = 1


@dataclass(frozen=True, slots=True)
class Results:
    """`model` names the bundled model by its fingerprint; `runs` lists every run with its figures."""

    model: str
    sections: tuple[Section, ...]
    runs: tuple[dict[str, Any], ...]

    def write(self, path: Path) -> None:
        """One JSON object, a run a line."""
        values = {
            "format": FORMAT,
            "version": VERSION,
            "model": self.model,
            "sections": [section.to_json() for section in self.sections],
        }
        head = json.dumps(values, indent=1, ensure_ascii=False).removesuffix("\n}")
        runs = ",\n".join(f"  {json.dumps(run)}" for run in self.runs)
        path.write_text(f'{head},\n "runs": [\n{runs}\n ]\n}}\n', encoding="utf-8")

    @staticmethod
    def read(path: Path) -> Results:
        """What `write` wrote."""
        values = json.loads(path.read_text(encoding="utf-8"))
        sections = tuple(map(Section.from_json, values["sections"]))
        return Results(values["model"], sections, tuple(values["runs"]))
