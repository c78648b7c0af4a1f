"""Fixtures for every room: the command line as a user runs it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

CommandLine = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def command_line() -> CommandLine:
    """`command_line(*words)` runs `python -m hobbit` in the folder `cwd`, with `path` on PYTHONPATH."""

    def run(
        *words: str, cwd: Path | None = None, path: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        paths = [str(path)] if path else []
        known = [entry for entry in [os.environ.get("PYTHONPATH")] if entry]
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths + known)}
        command = [sys.executable, "-m", "hobbit", *words]
        return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)

    return run
