"""docs/tasks.md names every key of every report, and every task."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest

from hobbit.config.tasks import TASKS
from hobbit.report.evaluation import EvaluationReport
from hobbit.report.measures import Measures
from hobbit.report.recording import RecordingReport
from hobbit.report.run_report import RunReport
from hobbit.report.scene import Scene
from hobbit.report.simulation import SimulationReport

PAGE = (Path(__file__).parents[2] / "docs" / "tasks.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "schema", [Scene, Measures, RunReport, SimulationReport, EvaluationReport, RecordingReport]
)
def test_every_key_is_documented(schema: type) -> None:
    missing = [option.name for option in fields(schema) if f"`{option.name}`" not in PAGE]
    assert [name for name in missing if name != "scene"] == []


def test_every_task_has_an_example() -> None:
    for name in TASKS:
        assert f"\n## {name}\n\n    hobbit " in PAGE
