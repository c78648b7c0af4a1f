"""precision=lossless12 as a user asks for it: run, replay, compare, convert; refused where it cannot be."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from hobbit.cli.main import main
from hobbit.tasks.comparison.grid import _at
from hobbit.tasks.comparison.measure import measure_cell
from tests.engine.models import tiny_model
from tests.engine.texts import save_checkpoint
from tests.tasks.conftest import Report
from tests.tasks.test_compare import grid

LOSSLESS12 = "precision=lossless12"


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model in float32."""
    return save_checkpoint(tmp_path_factory.mktemp("wide") / "tiny", tiny_model(dtype=torch.float32))


def spoilt(folder: Path, weight: float, columns: int) -> Path:
    """The tiny model in `folder`, an expert of which has `weight` all down some columns of 64."""
    model = tiny_model()
    model.model.layers[2].mlp.experts.down_proj.data[3, :, :columns] = weight
    return save_checkpoint(folder, model)


def refusal(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """The one line that a call is refused with."""
    capsys.readouterr()
    assert main(list(words)) == 2
    out, err = capsys.readouterr()
    assert out == "" and len(err.strip().splitlines()) == 1
    return err


def test_a_run_says_what_native_says_and_is_lossless_against_it(report: Report) -> None:
    words = (
        "policy=lru",
        "device=cpu",
        "quality.enabled=true",
        "quality.tokens=4",
        "quality.domains=[books]",
    )
    packed, plain = report(*words, LOSSLESS12), report(*words, "precision=native")
    assert packed["text"] == plain["text"]
    assert packed["precisions"] == ["lossless12"] and packed["lossy"] is False
    assert packed["quality"]["overall"]["mean_kl"] == 0


@pytest.mark.parametrize("device", ["rtx4090", "orin"])
def test_a_replay_moves_three_quarters_of_the_bytes(report: Report, device: str) -> None:
    words = ["simulate", "policy=on_demand", f"device={device}", "model=bundled", "compare=[]"]
    packed, plain = (report(*words, f"precision={high}")["measures"] for high in ("lossless12", "native"))
    assert packed["loads"] == plain["loads"]
    assert packed["bytes_per_token"] / plain["bytes_per_token"] == pytest.approx(0.755, abs=0.001)
    assert packed["decode_tokens_per_s"] > 1.25 * plain["decode_tokens_per_s"]


def test_in_a_comparison_it_is_lossless_against_native() -> None:
    spec = grid("policies=[lru]", "devices=[rtx4090]")[0]
    assert spec.high == "native"
    own = replace(spec.config, precision=replace(spec.config.precision, high="lossless12"))
    cell = measure_cell(replace(spec, config=_at("native", own)), None)
    assert (cell.lossless, cell.quality, cell.precisions) == (True, None, ("lossless12",))
    assert _at("int8", own).precision.high == "int8"
    shared = measure_cell(grid("policies=[lru]", "devices=[rtx4090]", LOSSLESS12)[0], None)
    assert shared == replace(cell, key=shared.key, comparison=shared.comparison, seconds=shared.seconds)


def test_other_dtypes_are_refused(wide: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    line = "lossless12 stores bfloat16, not float32, whose weights do not fit 12 bits; use native"
    assert line in refusal(capsys, f"model={wide}", "policy=lru", "device=cpu", LOSSLESS12)
    words = ("geometry.dtype=float32", "device=rtx4090", LOSSLESS12)
    assert line in refusal(capsys, "simulate", *words)
    out = tmp_path / "bundle"
    assert line in refusal(capsys, "convert", f"model={wide}", "precisions=[lossless12]", f"out={out}")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("weight", "columns", "what"),
    [(1e-30, 2, "room for 64 weights of a 64 x 48 matrix"), (float("inf"), 1, "finite weights")],
)
def test_weights_that_do_not_fit_name_their_expert(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], weight: float, columns: int, what: str
) -> None:
    model = spoilt(tmp_path / "model", weight, columns)
    said = refusal(capsys, f"model={model}", "policy=lru", "device=cpu", LOSSLESS12)
    assert "expert 3 of layer 2: lossless12" in said and what in said
    words = ("convert", f"model={model}", "precisions=[lossless12]", f"out={tmp_path / 'bundle'}")
    assert what in refusal(capsys, *words)


def test_converted_and_checked_and_run(
    tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "bundle"
    made = ["precisions=[lossless12,int4]", "quantizer.group_size=16", f"out={out}"]
    assert main(["convert", f"model={tiny}", *made]) == 0
    assert "lossless12" in capsys.readouterr().out
    assert main(["verify", f"model={out}"]) == 0
    words = [
        "policy=hobbit",
        "device=cpu",
        LOSSLESS12,
        "quality.enabled=false",
        "max_new_tokens=4",
        "prompt=abc",
    ]
    assert main([*words, f"model={out}", "quantizer.group_size=16", "memory.host=300kB"]) == 0
    assert "lossy against native" in capsys.readouterr().out


def test_a_run_over_a_link_is_told_what_it_would_hold(report: Report) -> None:
    words = ("policy=lru", "model=bundled", "max_new_tokens=2", "compare=[]", "device=rtx4090")
    plain, packed, quantised = (
        report(*words),
        report(*words, LOSSLESS12),
        report(*words, "precision=int4_high"),
    )
    (hint,) = [note for note in plain["notes"] if LOSSLESS12 in note]
    (slots,) = [text for what, _, text in packed["memory"] if what == "experts"]
    assert (
        hint
        == f"{LOSSLESS12} would keep {slots.split()[0]} experts in the memory of 64, bit for bit the same"
    )
    assert not any(LOSSLESS12 in note for other in (packed, quantised) for note in other["notes"])


def test_a_run_that_holds_all_is_told_nothing(report: Report) -> None:
    assert not any(LOSSLESS12 in note for note in report("policy=lru", "device=rtx4090")["notes"])
