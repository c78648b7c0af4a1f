"""The command line as a user meets it: exit codes, one line on stderr, nothing left behind."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from hobbit.cli.main import main
from hobbit.config.catalogue import choices
from hobbit.config.schema import HobbitConfig
from hobbit.config.tasks import RunTask
from hobbit.errors import BudgetError
from tests.conftest import CommandLine


@pytest.mark.parametrize(
    "words", [["device=orinn"], ["--cfg", "job", "device=orinn"], ["-m", "device=orinn"]]
)
def test_an_error_is_one_line_and_exit_code_2(words: list[str], command_line: CommandLine) -> None:
    done = command_line(*words)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr == "hobbit: error: no device is called 'orinn'; did you mean 'orin'?\n"


FAILURES = {"budget": BudgetError("12 bytes\nare few"), "interrupt": KeyboardInterrupt()}


def fail(config: HobbitConfig, overrides: Sequence[str]) -> int:
    """A task that ends as its prompt says."""
    raise FAILURES[str(config.prompt)]


@pytest.mark.parametrize(
    ("prompt", "code", "line"),
    [("budget", 2, "hobbit: error: 12 bytes are few\n"), ("interrupt", 130, "")],
)
def test_a_task_that_fails(
    prompt: str, code: int, line: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(RunTask, "function", f"{__name__}:fail")
    assert main([f"prompt={prompt}"]) == code
    assert capsys.readouterr().err == line


def test_a_bug_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RunTask, "function", "hobbit.no_such_module:run")
    with pytest.raises(ModuleNotFoundError):
        main(["device=sim"])


@pytest.mark.parametrize(
    "words",
    [
        ["policy=hobbit", "prompt=a, b", "--cfg", "job"],
        ["--multirun", "cache=lru,lfu", "task=plugins"],
        ["plugins"],
        ["--info", "defaults"],
    ],
)
def test_nothing_is_left_in_the_folder(words: list[str], tmp_path: Path, command_line: CommandLine) -> None:
    assert command_line(*words, cwd=tmp_path).returncode == 0
    assert list(tmp_path.iterdir()) == []


def test_cfg_job_shows_what_would_run(command_line: CommandLine) -> None:
    shown = command_line("policy=hobbit", "device=orin", "seed=3", "--cfg", "job").stdout
    assert "seed: 3" in shown
    assert "experts_home: disk" in shown


@pytest.mark.parametrize("words", [["--help"], ["plugins"], ["policy=hobbit", "--cfg", "job"]])
def test_looking_imports_no_torch(words: list[str]) -> None:
    code = f"""
import sys
from hobbit.cli.main import main
sys.argv = ["hobbit"]
main({words!r})
heavy = {{"torch", "transformers", "matplotlib"}} & set(sys.modules)
sys.exit(f"imported {{heavy}}" if heavy else 0)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_help_names_every_choice(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    shown = capsys.readouterr().out
    for group in ("policy", "device", "geometry", "task"):
        assert all(f"  {name}" in shown for name in choices(group))
    assert "max_new_tokens" in shown


def test_the_listing_as_text(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plugins"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("batcher\n  expert_aware")
    assert "\ncache\n  belady" in shown
    assert "hobbit-moe 0.1.0 (paper)" in shown


def test_a_reader_who_leaves_is_no_error() -> None:
    done = subprocess.run(
        f"{sys.executable} -m hobbit plugins | head -1",
        shell=True,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("batcher\n", "")
