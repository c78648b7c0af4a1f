"""A tiny checkpoint, and tasks run on it in this process."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hobbit.cli.main import main
from tests.engine.models import tiny_model
from tests.engine.texts import save_checkpoint

Run = Callable[..., str]
Report = Callable[..., dict[str, Any]]

QUICK = ["quality.enabled=false", "max_new_tokens=8", "prompt=abcdefghij", "quantizer.group_size=16"]


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random Mixtral of 4 layers, in a folder."""
    return save_checkpoint(tmp_path_factory.mktemp("model") / "tiny", tiny_model())


@pytest.fixture
def run(tiny: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """`run(*words)` runs a task on the tiny model and returns what it printed; errors fail the test."""

    def call(*words: str) -> str:
        named = {word.partition("=")[0] for word in words}
        defaults = [word for word in (f"model={tiny}", *QUICK) if word.partition("=")[0] not in named]
        code = main([*words, *defaults])
        out, err = capsys.readouterr()
        assert (code, err) == (0, "")
        return out

    return call


@pytest.fixture
def report(run: Run) -> Report:
    """The same with `output=json`, read."""

    def call(*words: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(run(*words, "output=json"))
        return found

    return call
