"""Sections that several reports share: the budget, one policy's speed, and the same routing under others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hobbit.report.measures import Measures, Replayed
from hobbit.report.report import Section
from hobbit.report.scene import Scene
from hobbit.report.tables import measures_table, memory_table, replays_table


def memory_section(scene: Scene) -> Section:
    """What the device's memory is spent on."""
    return Section(f"device memory ({scene.clock})", memory_table(scene))


def speed_section(scene: Scene, what: str, measures: Measures, mark: str = "") -> Section:
    """The figures of `what`; `mark` follows the clock in the title."""
    return Section(f"{what} ({scene.clock}{mark}; {scene.loss})", measures_table(measures, scene.precisions))


def replays_section(
    scene: Scene,
    what: str,
    measures: Measures,
    others: Sequence[Replayed],
    marks: Mapping[str, str] | None = None,
) -> Section:
    """`what` beside the other policies on its routing."""
    title = f"the same routing, all at {scene.precisions[0]} ({scene.clock}; speed-up: {what}'s)"
    rows = {what: measures, **{other.policy: other.measures for other in others}}
    return Section(title, replays_table(rows, measures, marks))
