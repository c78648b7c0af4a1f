"""Sweep: one policy's hits and misses at several sizes of the expert cache."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, ClassVar

from hobbit.report import headings
from hobbit.report.report import Report, Section
from hobbit.report.tables import empty_table
from hobbit.sizes import format_size

FORMAT = "hobbit-sweep"


@dataclass(frozen=True, slots=True)
class SweepPoint:
    """One policy at one share of all expert bytes, in decode; a line of JSON.

    `miss_penalty` is a token's misses, a low one weighed by its bytes (HOBBIT, section 3.4); `slots` are the
    experts that each precision level can hold, `precision` is the high one. `bound`: the policy knows the
    future or ignores the budget.
    """

    policy: str
    device: str
    geometry: str
    clock: str
    routing: str
    synthetic: bool
    precision: str
    lossless: bool
    bound: bool
    share: float
    expert_bytes: int
    slots: tuple[int, ...]
    hit_ratio: float
    miss_penalty: float
    decode_tokens_per_s: float

    def to_json(self) -> dict[str, Any]:
        """Plain values, and the name of the format."""
        return {"format": FORMAT, **asdict(self)}

    @staticmethod
    def from_json(values: Any) -> SweepPoint:
        """The point that `to_json` gave. Raises KeyError, TypeError or ValueError if it is none."""
        if not isinstance(values, Mapping) or values.get("format") != FORMAT:
            raise ValueError("no point of a sweep")
        known = {field.name: values[field.name] for field in fields(SweepPoint)}
        return SweepPoint(**{**known, "slots": tuple(known["slots"])})


def read_points(path: Path) -> list[SweepPoint]:
    """The points in a file of JSON lines; lines that are none are left out. Raises OSError."""
    points = []
    for line in path.read_bytes().split(b"\n"):
        try:
            points.append(SweepPoint.from_json(json.loads(line)))
        except (ValueError, TypeError, KeyError):
            continue
    return points


@dataclass(frozen=True, slots=True)
class SweepReport(Report):
    """`files` hold the points and their picture."""

    task: ClassVar[str] = "sweep"
    trace: str
    files: tuple[str, ...]
    points: tuple[SweepPoint, ...]

    def heading(self) -> Iterable[tuple[str, str]]:
        """Files, routing, clock."""
        yield "files", ", ".join(self.files)
        yield "routing", headings.origin(self.scene, self.trace)
        yield from headings.speeds(self.scene)

    def sections(self) -> Iterable[Section]:
        """Hits, then misses: a row a policy, a column a size."""
        mark = ", synthetic" if self.scene.synthetic else ""
        for title, name, form in (
            ("hits of demands, %", "hit_ratio", "{:.1%}"),
            ("miss penalty: misses a token, a low one weighed by its bytes", "miss_penalty", "{:.3g}"),
        ):
            yield Section(f"{title} ({self.scene.clock}{mark})", _table(self.points, name, form))


def _table(points: Sequence[SweepPoint], name: str, form: str) -> Any:
    shares = sorted({point.share for point in points})
    sizes = {point.share: point.expert_bytes for point in points}
    columns = [f">{100 * share:g} %\n{format_size(sizes[share])}" for share in shares]
    table = empty_table("policy", *columns)
    for policy in dict.fromkeys(point.policy for point in points):
        own = {point.share: point for point in points if point.policy == policy}
        cells = [form.format(getattr(own[share], name)) if share in own else "n/a" for share in shares]
        table.add_row(f"{policy}{'' if own[next(iter(own))].lossless else ' ~'}", *cells)
    return table
