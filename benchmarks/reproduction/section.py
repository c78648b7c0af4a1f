"""Section: a part of the page, as data: a text, the papers' figures beside ours, and tables of our own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from benchmarks.reproduction.row import Row

Cells = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """Figures that no paper has; the first row names the columns."""

    title: str
    rows: tuple[Cells, ...]


@dataclass(frozen=True, slots=True)
class Section:
    """`text` says what was measured and how."""

    title: str
    text: str
    rows: tuple[Row, ...]
    tables: tuple[Table, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "title": self.title,
            "text": self.text,
            "rows": [row.to_json() for row in self.rows],
            "tables": [
                {"title": table.title, "rows": [list(row) for row in table.rows]} for table in self.tables
            ],
        }

    @staticmethod
    def from_json(values: Mapping[str, Any]) -> Section:
        """The section that `to_json` gave."""
        return Section(
            values["title"],
            values["text"],
            tuple(Row.from_json(row) for row in values["rows"]),
            tuple(Table(t["title"], tuple(tuple(row) for row in t["rows"])) for t in values["tables"]),
        )
