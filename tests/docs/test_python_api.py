"""docs/python-api.md is true: its code runs, block after block."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from hobbit.library import PhaseStats, Stats
from tests.engine.families import tiny_checkpoint

PAGE = (Path(__file__).parents[2] / "docs" / "python-api.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def test_its_code_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tiny_checkpoint("mixtral", tmp_path / "path" / "to" / "checkpoint")
    monkeypatch.chdir(tmp_path)
    capsys.readouterr()
    known: dict[str, Any] = {}
    for block in BLOCKS:
        exec(compile(block, "python-api.md", "exec"), known)
    shown = capsys.readouterr().out
    assert "tokens/s" in shown
    assert "memory.device=10 kB cannot hold" in shown
    known["model"].hobbit.close()


@pytest.mark.parametrize("kind", [Stats, PhaseStats])
def test_every_figure_is_named(kind: type) -> None:
    assert all(f"`{figure.name}`" in PAGE for figure in fields(kind))
