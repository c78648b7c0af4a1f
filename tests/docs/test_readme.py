"""The README names what there is, and its commands are ones that hobbit takes."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from docs.pages.components import own_components
from docs.pages.presets import lossy
from docs.pages.yaml_files import yaml_files
from hobbit.cli.single import spelt_out
from hobbit.config.compose import compose

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = [shlex.split(line) for line in re.findall(r"^\$ (.*)$", README, re.MULTILINE)]
RUNS = [words[1:] for words in COMMANDS if words[0] == "hobbit" and words[1:] != ["plugins"]]


def rows(section: str) -> dict[str, list[str]]:
    """The table of a section: the cells of each row by the name in its first cell."""
    text = README.partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    cells = [
        [cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if line[:3] == "| `"
    ]
    return {first.strip("`"): rest for first, *rest in cells if not first.endswith("=`")}


def test_every_preset_has_its_row_and_says_what_it_may_change() -> None:
    effects = {name: cells[0] for name, cells in rows("Presets").items()}
    presets = [file.stem for file in yaml_files("policy")]
    assert effects == {name: "quality" if lossy(name) else "hint" for name in presets}


def test_every_device_has_its_row_and_says_which_clock_it_runs_on() -> None:
    clocks = {name: cells[0] for name, cells in rows("Devices").items()}
    components = {entry.component.name: entry.component for entry in own_components()}
    devices = {name for name, component in components.items() if component.kind == "device"}
    profiles = {file.stem for file in yaml_files("device")}
    assert set(clocks) == devices | profiles
    assert {name for name, clock in clocks.items() if clock == "simulated"} == {"sim"} | profiles


@pytest.mark.parametrize("words", RUNS, ids=shlex.join)
def test_a_command_composes(words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "path/to/checkpoint").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    compose(spelt_out(words)).setup()


def test_its_test_command_is_what_ci_runs() -> None:
    assert COMMANDS[1][:2] == ["make", "test"]
    assert "make test" in (ROOT / ".ci/run").read_text(encoding="utf-8").splitlines()
