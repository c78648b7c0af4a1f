"""model=BUNDLE works wherever model= does; budgets are shown before it starts, and refused in one line."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from hobbit.cli.main import main
from hobbit.store.bundle import BundleIndex
from tests.engine.bundles import tiny_bundle
from tests.tasks.conftest import QUICK


@pytest.fixture(scope="module")
def bundle(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_bundle(tiny, tmp_path_factory.mktemp("bundle") / "tiny", group_size=16)


def words(model: Path, *more: str) -> list[str]:
    """`more` on `model`, on the CPU at the bundle's precisions unless they say otherwise."""
    defaults = [f"model={model}", *QUICK, "device=cpu", "precision.high=native", "precision.low=int4"]
    named = {word.partition("=")[0] for word in more}
    return [*more, *(word for word in defaults if word.partition("=")[0] not in named)]


def called(capsys: pytest.CaptureFixture[str], arguments: Sequence[str]) -> tuple[dict[str, Any], str]:
    assert main([*arguments, "output=json"]) == 0
    out, err = capsys.readouterr()
    return json.loads(out), err


def test_a_run_from_the_disk_shows_its_budgets_and_says_the_same(
    bundle: Path, tiny: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    limits = ("policy=hobbit_lossless", "memory.device=400kB", "memory.host=200kB")
    served, shown = called(capsys, words(bundle, *limits))
    whole, nothing = called(capsys, words(tiny, *limits[:2]))
    assert served["text"] == whole["text"]
    assert nothing == ""
    assert "host budget" in shown and "experts, host" in shown
    assert any("page cache" in note for note in served["notes"])
    assert {row[0] for row in served["memory"]} > {"budget", "host budget", "passing through"}


@pytest.mark.parametrize(
    "task",
    [
        ("task=evaluate", "policy=hobbit", "task.tokens=4", "task.domains=[books]"),
        ("task=run", "policy=hobbit", "device=orin", "compare=[on_demand]"),
    ],
)
def test_other_tasks_take_it_too(
    bundle: Path, capsys: pytest.CaptureFixture[str], task: tuple[str, ...]
) -> None:
    report, _ = called(capsys, words(bundle, *task))
    assert report["model"] == str(bundle)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("precision.low=int2",), "no experts at precision 'int2', only at native, int4"),
        (("memory.host=1kB",), "memory.host=1 kB cannot hold"),
        (("memory.device=1kB",), "memory.device=1 kB cannot hold"),
    ],
)
def test_what_cannot_be_is_one_line(
    bundle: Path, capsys: pytest.CaptureFixture[str], more: tuple[str, ...], message: str
) -> None:
    assert main(words(bundle, "policy=hobbit", *more)) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert message in err
    assert len(err.strip().splitlines()) == 1


def test_a_damaged_bundle_is_one_line(
    bundle: Path, tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    damaged = tiny_bundle(tiny, tmp_path / "damaged", ("native",))
    level = BundleIndex.read(damaged).levels[0]
    with (damaged / level.files[0].name).open("r+b") as file:
        for row in range(len(level.checksums)):
            file.seek(row * level.stride + 8)
            file.write(b"damage")
    limits = ("policy=lru", "memory.device=400kB", "memory.host=100kB")
    assert main(words(damaged, *limits)) == 2
    err = capsys.readouterr().err
    assert "its checksum does not match, twice" in err.splitlines()[-1]
    assert "Traceback" not in err
