"""CalibrationReport: a machine as a profile, and how well its simulation agrees with it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

from rich.table import Table

from hobbit.report.report import Report, Section
from hobbit.report.tables import empty_table

CLOSE = 0.1
"""A simulated time within this of the measured one is close enough to choose policies by."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """Milliseconds a decoded token of one policy, by either clock."""

    policy: str
    measured_ms: float
    simulated_ms: float

    @property
    def ratio(self) -> float:
        """Simulated over measured."""
        return self.simulated_ms / self.measured_ms


@dataclass(frozen=True, slots=True)
class ProfileLine:
    """One option of the profile."""

    option: str
    value: str
    source: str


@dataclass(frozen=True, slots=True)
class CalibrationReport(Report):
    """`path` is the profile's file; `failures` name policies that could not be measured, and why."""

    task: ClassVar[str] = "calibrate"
    path: str
    machine: str
    shape: str
    routing: str
    lengths: str
    profile: tuple[ProfileLine, ...]
    agreement: tuple[Agreement, ...]
    failures: tuple[str, ...]

    def heading(self) -> Iterable[tuple[str, str]]:
        """Machine, model, routing, file."""
        yield "machine", self.machine
        yield "model", f"synthetic, {self.shape}"
        yield "routing", f"{'synthetic, ' if self.scene.synthetic else 'replayed, '}{self.routing}"
        yield "lengths", self.lengths
        yield "profile", f"{self.path}; simulate with device={self.path}"

    def sections(self) -> Iterable[Section]:
        """The profile, and both clocks side by side."""
        lines = empty_table("option", ">value", "source")
        for line in self.profile:
            lines.add_row(line.option, line.value, line.source)
        yield Section("profile (measured)", lines)
        if self.agreement:
            yield Section("ms a decoded token, live and on the profile's simulated clock", self._agreement())
        if self.failures:
            failed = Table(box=None, pad_edge=False, show_edge=False, show_header=False)
            for failure in self.failures:
                failed.add_row(failure)
            yield Section("not measured", failed)

    def _agreement(self) -> Table:
        table = empty_table("policy", ">live", ">simulated", ">ratio", f"within {100 * CLOSE:.0f} %")
        for row in self.agreement:
            close = "yes" if abs(row.ratio - 1) <= CLOSE else "no"
            table.add_row(
                row.policy, f"{row.measured_ms:.4g}", f"{row.simulated_ms:.4g}", f"{row.ratio:.3f}", close
            )
        return table
