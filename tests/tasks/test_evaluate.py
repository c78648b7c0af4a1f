"""task=evaluate on a tiny model."""

from __future__ import annotations

from tests.tasks.conftest import Report, Run

SAMPLE = ["evaluate", "device=rtx4090", "task.tokens=6", "task.domains=[code,books]"]


def test_a_lossless_policy_scores_zero(report: Report) -> None:
    found = report(*SAMPLE, "policy=lru")
    assert list(found["quality"]["domains"]) == ["code", "books"]
    overall = found["quality"]["overall"]
    assert (overall["tokens"], overall["mean_kl"], overall["top1_agreement"]) == (12, 0.0, 1.0)
    assert found["measures"]["decode_tokens"] == 12


def test_a_lossy_policy_does_not(report: Report) -> None:
    found = report(*SAMPLE, "policy=hobbit", "loader.t1=0", "loader.t2=0.5")
    assert found["lossy"] and found["quality"]["overall"]["mean_kl"] > 0


def test_more_tokens_than_the_context_holds(report: Report) -> None:
    found = report(*SAMPLE, "task.tokens=500", "task.domains=[maths]", "policy=all_resident")
    assert found["quality"]["overall"]["tokens"] == 500


def test_the_tables(run: Run) -> None:
    shown = run(*SAMPLE, "policy=hobbit", "max_new_tokens=2")
    assert "quality in decode (live; lossy against native)" in shown
    assert "…" not in shown
