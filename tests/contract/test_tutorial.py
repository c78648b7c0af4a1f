"""The tutorial is true: its files make a plugin that passes its test, is listed, and can be chosen."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

TUTORIAL = (Path(__file__).parents[2] / "docs" / "write-a-policy.md").read_text(encoding="utf-8")
FILES = dict(re.findall(r"^`([\w/.]+)`\n\n```\w+\n(.*?)^```$", TUTORIAL, re.MULTILINE | re.DOTALL))
COMMANDS = [shlex.split(line) for line in re.findall(r"^\$ (.*)$", TUTORIAL, re.MULTILINE)]


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tutorial's files, and the metadata that installing them would leave."""
    folder = tmp_path_factory.mktemp("tutorial")
    for name, text in FILES.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    project = tomllib.loads(FILES["pyproject.toml"])["project"]
    metadata = folder / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Name: {project['name']}\nVersion: {project['version']}\n")
    points = "".join(f"{name} = {module}\n" for name, module in project["entry-points"]["hobbit"].items())
    (metadata / "entry_points.txt").write_text(f"[hobbit]\n{points}")
    return folder


def run(package: Path, *words: str) -> str:
    """Run a module of Python where the tutorial's package is installed; returns what it prints."""
    environment = os.environ | {"PYTHONPATH": str(package), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", *words]
    done = subprocess.run(command, cwd=package, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_tutorial_has_the_files_and_commands_that_it_talks_about() -> None:
    assert set(FILES) == {
        "hobbit_decay/__init__.py",
        "pyproject.toml",
        "hobbit_decay/conf/policy/decay.yaml",
        "test_decay.py",
    }
    assert [words[0] for words in COMMANDS] == ["pip", "pytest", *["hobbit"] * 4]


def test_its_own_test_passes(package: Path) -> None:
    assert "1 passed" in run(package, "pytest", "-p", "no:cacheprovider", "test_decay.py")


def test_the_component_is_listed_with_its_provider(package: Path) -> None:
    listed = json.loads(run(package, "hobbit", "plugins", "--json"))
    assert "decay" in json.dumps(listed)
    assert "hobbit-decay 0.1" in json.dumps(listed)


@pytest.mark.parametrize("words", COMMANDS[3:], ids=shlex.join)
def test_its_commands_choose_the_policy(words: list[str], package: Path) -> None:
    chosen = run(package, *words, "--cfg", "job")
    assert "half_life: 8" in chosen if "cache.half_life=8" in words else "half_life: 32" in chosen
