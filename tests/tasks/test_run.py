"""task=run on a tiny model: what it reports, and where thresholds come from."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.tasks.conftest import Report, Run


def test_json_is_all_there_is_on_standard_output(report: Report) -> None:
    found = report("device=rtx4090", "policy=lru", "compare=[on_demand]", "seed=5")
    assert (found["format"], found["version"], found["task"]) == ("hobbit-report", 1, "run")
    assert (found["prompt"], found["prompt_tokens"], found["seed"]) == ("abcdefghij", 10, 5)
    assert len(found["token_ids"]) == 8
    assert found["simulated"] and not found["synthetic"] and not found["lossy"]
    assert [other["policy"] for other in found["replayed"]] == ["on_demand"]


def test_text_begins_with_the_prompt_and_fits_80_columns(run: Run, report: Report) -> None:
    shown = run("device=rtx4090", "policy=hobbit", "quality.enabled=true", "quality.tokens=4")
    assert shown.startswith("abcdefghij" + report("device=rtx4090", "policy=hobbit")["text"])
    assert all(len(line) <= 80 or "/" in line for line in shown.splitlines())  # paths are never broken
    assert "…" not in shown
    for part in (
        "device memory (simulated clock)",
        "this run (simulated clock; lossy against native)",
        "seed 0",
    ):
        assert part in shown


def test_a_file_holds_what_the_terminal_would(run: Run, tmp_path: Path) -> None:
    shown = run("device=rtx4090", "policy=lru")
    assert run("device=rtx4090", "policy=lru", f"out={tmp_path / 'report.txt'}") == ""
    assert (tmp_path / "report.txt").read_text().split() == shown.split()


def test_another_models_thresholds_come_from_its_prompt(report: Report) -> None:
    found = report("device=rtx4090", "policy=hobbit", "compare=[hobbit_lru]")
    loader = found["options"]["loader"]
    assert 0.5 < loader["t1"] < loader["t2"] <= 1
    (note,) = [note for note in found["notes"] if "calibrated" in note]
    assert note.startswith("loader mixed_precision calibrated on the prompt's own routing: t1 0.")


def test_chosen_thresholds_are_kept(report: Report) -> None:
    found = report("device=rtx4090", "policy=hobbit", "loader.t1=0.55", "compare=[]")
    assert found["options"]["loader"]["t1"] == 0.55
    assert not any("calibrated" in note for note in found["notes"])


@pytest.mark.parametrize("device", ["cpu", "orin"])
def test_an_oracle_runs_twice(device: str, report: Report) -> None:
    """On orin the experts are int8, so that the first pass loses the checkpoint's own."""
    oracle = report(f"device={device}", "policy=belady")
    plain = report(f"device={device}", "policy=on_demand")
    assert oracle["token_ids"] == plain["token_ids"]
    assert oracle["measures"]["hit_ratio"] > 0
    assert oracle["quality"] is None


def test_a_rival_that_does_not_fit_is_a_note(report: Report) -> None:
    budget = ["device=rtx4090", "policy=lru", "compare=[mixtral_offloading,on_demand]"]
    found = report(*budget, "memory.device=240KB")
    assert [other["policy"] for other in found["replayed"]] == ["on_demand"]
    assert any(note.startswith("mixtral_offloading is not compared: ") for note in found["notes"])
