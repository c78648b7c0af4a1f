"""Captions: what the subtitle, badge and notes of a picture of cells say; cells in groups that compare."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from hobbit.report.cell import Cell

SYNTHETIC = "synthetic routing"
REASON = 100
"""Letters of an error that a note shows."""


class Group(NamedTuple):
    """What cells must share for their speeds to compare."""

    device: str
    geometry: str
    workload: str

    @property
    def stem(self) -> str:
        """For names of files."""
        return "-".join(self)


def grouped(cells: Iterable[Cell]) -> dict[Group, list[Cell]]:
    """The cells by group, both in the order in which they come."""
    groups: dict[Group, list[Cell]] = {}
    for cell in cells:
        groups.setdefault(Group(cell.device, cell.geometry, cell.workload), []).append(cell)
    return groups


def subtitle(cells: Sequence[Cell]) -> str:
    """Clock, device, geometry, workload and the high precision of one group."""
    measured = [cell for cell in cells if cell.measures] or cells
    first = measured[0]
    clock = "simulated clock" if first.simulated else "live, wall time"
    precisions = dict.fromkeys(cell.precisions[0] for cell in measured if cell.precisions)
    high = f"experts at {' or '.join(precisions)}" if precisions else ""
    routing = f"routing {first.routing}" if first.routing else ""
    where = [clock, f"device {first.device}", f"geometry {first.geometry}", f"workload {first.workload}"]
    return " · ".join(part for part in [*where, routing, high] if part)


def badge(cells: Iterable[Cell]) -> str:
    """The mark of a group whose routing no model made."""
    return SYNTHETIC if any(cell.synthetic for cell in cells) else ""


def failures(cells: Iterable[Cell]) -> tuple[str, ...]:
    """A note for each cell without figures."""
    return tuple(f"{cell.policy}: n/a, {_shortened(cell.error)}" for cell in cells if cell.measures is None)


def _shortened(error: str | None) -> str:
    reason = " ".join((error or "not measured").split())
    return reason if len(reason) <= REASON else reason[: REASON - 1].rstrip() + "…"
