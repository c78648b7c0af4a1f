"""A plugin by someone else, really built and installed, beside ours."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import CommandLine

PROJECT = Path(__file__).parent / "stranger"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds the stranger's wheel, unpacked as pip does it."""
    target = tmp_path_factory.mktemp("site")
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--target", str(target)]
    subprocess.run([sys.executable, "-m", "pip", "install", *options, str(PROJECT)], check=True)
    return target


def test_is_listed_with_its_provider(installed: Path, command_line: CommandLine) -> None:
    listing = json.loads(command_line("plugins", "--json", path=installed).stdout)
    (row,) = [row for row in listing["components"] if row["name"] == "highest_id"]
    assert row["kind"] == "cache"
    assert row["options"] == ["low_share: float = 0.05", "strength: int = 3"]
    assert row["provider"] == "stranger 1.0 (stranger)"
    assert row["status"] == "ok"
    assert listing["problems"] == []


def test_its_preset_composes(installed: Path, command_line: CommandLine) -> None:
    done = command_line("policy=stranger", "cache.strength=5", "--cfg", "job", "-p", "cache", path=installed)
    assert done.returncode == 0, done.stderr
    assert "strength: 5" in done.stdout


def test_its_preset_runs(installed: Path, command_line: CommandLine) -> None:
    words = ["+policy=stranger", "device=orin", "max_new_tokens=4", "quality.enabled=false", "output=json"]
    done = command_line(*words, "compare=[lru]", path=installed)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["policy"]["cache"] == "highest_id"
    assert report["measures"]["decode_tokens"] == 3


def test_its_preset_is_in_the_help(installed: Path, command_line: CommandLine) -> None:
    assert "stranger            A stranger's preset" in command_line("--help", path=installed).stdout


def test_is_absent_where_it_is_not_installed(command_line: CommandLine) -> None:
    done = command_line("policy=strangr")
    assert done.returncode == 2
    assert done.stderr.startswith("hobbit: error: no policy is called 'strangr'")
