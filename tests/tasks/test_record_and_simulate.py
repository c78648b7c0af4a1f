"""Record a trace, replay it: the same counts as live; other shapes are synthetic and say so."""

from __future__ import annotations

from pathlib import Path

import pytest

from hobbit.trace import read_trace
from tests.tasks.conftest import Report, Run

SHAPE = ["geometry.layers=4", "geometry.experts=8", "geometry.top_k=2"]


@pytest.fixture
def recorded(tmp_path: Path, run: Run) -> Path:
    """Two sequences of the tiny model."""
    trace = tmp_path / "mine.npz"
    words = ["task.lines=true", "task.domain=letters", "prompt=abc\n\ndefgh"]
    shown = run("record", "device=cpu", f"out={trace}", *words)
    assert "2 sequences, 22 tokens" in " ".join(shown.split())
    return trace


def test_the_file_is_a_trace_and_alone(recorded: Path, tmp_path: Path) -> None:
    trace = read_trace(recorded)
    assert list(tmp_path.iterdir()) == [recorded]
    assert (trace.sequences, trace.tokens, trace.header.depth) == (2, 3 + 7 + 5 + 7, 4)
    assert (trace.header.domain, len(trace.header.fingerprint)) == ("letters", 64)
    assert trace.header.details["policy"] == {"loader": "on_demand", "router": "passthrough"}


def test_what_was_recorded_as_json(report: Report, tmp_path: Path) -> None:
    found = report("record", "device=cpu", f"out={tmp_path / 'a.npz'}")
    assert (found["task"], found["sequences"], found["prompt_tokens"]) == ("record", 1, 10)
    assert found["nbytes"] == (tmp_path / "a.npz").stat().st_size
    assert found["texts"][0].startswith("abcdefghij")


def test_one_token_has_no_statistics(report: Report, tmp_path: Path) -> None:
    found = report("record", "device=cpu", f"out={tmp_path / 'a.npz'}", "prompt=a", "max_new_tokens=1")
    assert (found["tokens"], found["statistics"]) == (1, None)


def test_a_lossy_recording_says_so(report: Report, tmp_path: Path) -> None:
    found = report("record", "device=cpu", "policy=hobbit", f"out={tmp_path / 'a.npz'}")
    assert "might route the same prompts otherwise" in found["notes"][-1]


def test_replays_of_a_recording(recorded: Path, report: Report, run: Run) -> None:
    words = ["simulate", "device=orin", "policy=lru", f"task.trace={recorded}", "model=bundled", *SHAPE]
    found = report(*words)
    assert (found["sequences"], found["tokens"], found["synthetic"]) == (2, 22, False)
    assert found["measures"]["decode_tokens"] == 14
    assert [other["policy"] for other in found["replayed"]] == ["on_demand", "mixtral_offloading", "belady"]
    shown = run(*words)
    assert "synthetic" not in shown and "…" not in shown


def test_thresholds_come_from_a_foreign_trace(recorded: Path, report: Report) -> None:
    words = ["simulate", "device=orin", "policy=hobbit", f"task.trace={recorded}", "model=bundled", *SHAPE]
    assert any("calibrated on this routing: t1 0." in note for note in report(*words)["notes"])


def test_another_shape_is_synthetic(recorded: Path, report: Report, run: Run) -> None:
    words = ["simulate", "device=rtx4090", "policy=hobbit", f"task.trace={recorded}", "model=bundled"]
    words += ["geometry=phi_moe", "task.prompt_tokens=4", "task.decode_tokens=3", "task.sequences=2"]
    found = report(*words)
    assert found["synthetic"] and found["geometry"] == "phi_moe"
    assert (found["sequences"], found["tokens"]) == (2, 14)
    shown = run(*words)
    rows = [line for line in shown.splitlines() if line.startswith(("this policy  ", "on_demand", "belady"))]
    assert len(rows) == 3 and all("synthetic" in row for row in rows)
    assert "quality  n/a" in shown
    assert "(simulated clock, synthetic; lossy against native)" in shown
    assert "…" not in shown
