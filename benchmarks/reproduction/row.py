"""Row: one of the papers' figures beside ours."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from benchmarks.reproduction.claims import Claim, Unit

TOLERANCE = 0.25
"""A figure further from the paper's than this wants an explanation."""


@dataclass(frozen=True, slots=True)
class Row:
    """`ours` is None where it could not be measured; `because` then says why.

    `because` explains a difference of more than a quarter. `synthetic`: on generated routing.
    """

    what: str
    unit: Unit
    low: float
    high: float
    ours: float | None
    source: str
    fitted: bool = False
    synthetic: bool = False
    because: str = ""

    @staticmethod
    def of(claim: Claim, ours: float | None, because: str, where: str = "", synthetic: bool = False) -> Row:
        """`claim` beside our figure; `where` is added to its name. Keeps `because` where there is need."""
        row = Row(
            f"{claim.what}{where and f', {where}'}", claim.unit, claim.low, claim.high, ours, claim.source,
            claim.fitted, synthetic, because,
        )  # fmt: skip
        return row if row.differs or ours is None else Row(**{**asdict(row), "because": ""})

    @property
    def ratio(self) -> float | None:
        """Ours over the paper's; of a range over its nearest end, 1 within. Of changes: what they leave."""
        if self.ours is None:
            return None
        nearest = min(max(self.ours, self.low), self.high)
        base = 1.0 if self.unit is Unit.change else 0.0
        return (base + self.ours) / (base + nearest)

    @property
    def differs(self) -> bool:
        """True if ours is more than a quarter off, or beyond a bound."""
        if self.ours is None or self.ratio is None:
            return False
        if self.bound:
            return not self.low <= self.ours <= self.high
        return abs(self.ratio - 1) > TOLERANCE

    @property
    def bound(self) -> bool:
        """True for a change that is published with one end: the other is all or nothing."""
        return self.unit is Unit.change and (self.low <= -1 or self.high >= 1)

    def to_json(self) -> dict[str, Any]:
        """Plain values; the ratio among them, for readers."""
        return {**asdict(self), "unit": self.unit.value, "ratio": self.ratio}

    @staticmethod
    def from_json(values: Mapping[str, Any]) -> Row:
        """The row that `to_json` gave."""
        known = {field.name: values[field.name] for field in fields(Row)}
        return Row(**{**known, "unit": Unit(known["unit"])})
