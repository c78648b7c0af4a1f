"""The proof runs from end to end on a small geometry; its bars are read from rows."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.proof.__main__ import main
from benchmarks.proof.cases import BARS, CASES, LOSSLESS, MIXTRAL, QWEN
from benchmarks.proof.page import judged, verdict
from hobbit.bench.row import BenchResult, PeerRow, PolicyRow, Shares
from tests.bench.small import WORDS

ROW = PolicyRow(
    LOSSLESS[0], "lossless", 5, 64, 40.0, 500.0, 25.0, 0.01, Shares(1, 0, 0, 0, None), 0.6, 1e6,
    1e6, 0, 0.9, 0.0, 20.0, 0.8, 100, 90, 95, {"native": 4}, None,
)  # fmt: skip


def test_the_whole_proof_in_small(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["bench.layers=2", "bench.prompt=8", "bench.tokens=4", "bench.repeats=1", "bench.split=1"]
    short = {MIXTRAL: ("all_resident", "lru", "hobbit_cooperative"), QWEN: ("all_resident", "lruu")}
    cases = {name: replace(CASES[name], policies=policies, peers=()) for name, policies in short.items()}
    assert main(["device=cpu", *WORDS, *words, f"out={tmp_path}"], cases) == 0
    shown = capsys.readouterr().out
    assert "lruu: NOT MEASURED: no policy is called" in shown
    assert all(bar.what in shown for bar in BARS) and "not measured" in shown
    kept = json.loads((tmp_path / "proof.json").read_text())
    assert [bar["what"] for bar in kept["bars"]] == [bar.what for bar in BARS]
    assert set(kept["models"]) == {MIXTRAL, QWEN} and kept["models"][QWEN]["synthetic"]
    page = (tmp_path / "proof.md").read_text()
    assert "| all_resident | lossless |" in page and "| hobbit_cooperative | lossy |" in page
    assert (tmp_path / "token-time-mixtral.png").exists()


def test_bars_are_read_from_the_rows_they_name() -> None:
    hobbit = replace(
        ROW, policy="hobbit_balanced", decode_tokens_per_s=70.0, peak_bytes=120,
        shares=Shares(0.8, 0.2, 0, 0, (0.66, 0.31, 0.03)),
    )  # fmt: skip
    peers = (PeerRow("accelerate", 0.5, 1.0), PeerRow("policylang", how="not installed"))
    results = {MIXTRAL: BenchResult((ROW, hobbit), peers, (), {})}
    found = {bar.what: (value, verdict(bar, value)) for bar, value in judged(results)}
    assert found["lossless decode, half resident"] == ((40.0, ROW.policy), "met")
    assert found["HOBBIT bf16+int4 cooperative decode, half resident"][1] == "met, and beyond"
    assert found["its thresholds decide 67 / 30 / 3 within 2 points"][1] == "met"
    assert found["lossless decode against accelerate"][0] == (80.0, f"{ROW.policy} against accelerate")
    assert found["lossless decode against MoE-PolicyLang"] == (None, "not measured")
    assert found["decode, all resident"] == (None, "not measured")
    assert found["device memory within the budget"] == ((0.5, "hobbit_balanced"), "missed (0.50 of it)")
