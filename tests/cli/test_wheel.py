"""The wheel carries its configs and plugins, and works from any folder."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import hobbit
from tests.conftest import CommandLine

ROOT = Path(hobbit.__file__).parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder into which our own wheel is installed."""
    target = tmp_path_factory.mktemp("site")
    options = ["-qq", "--no-deps", "--no-build-isolation", "--no-compile", "--target", str(target)]
    subprocess.run([sys.executable, "-m", "pip", "install", *options, str(ROOT)], check=True)
    return target


def test_it_holds_what_a_run_needs(wheel: Path) -> None:
    ours = {file.relative_to(ROOT) for file in (ROOT / "conf").rglob("*.yaml")}
    shipped = {file.relative_to(wheel / "hobbit") for file in (wheel / "hobbit" / "conf").rglob("*.yaml")}
    assert shipped == ours
    bundled = {file.relative_to(ROOT) for file in (ROOT / "hobbit" / "bundled").rglob("*") if file.is_file()}
    assert all((wheel / file).is_file() for file in bundled if file.suffix != ".pyc")
    c_files = [*(ROOT / "plugins" / "hobbit_devices" / "host_kernels").glob("*.[ch]")]
    assert len(c_files) >= 5
    assert all((wheel / "hobbit_devices" / "host_kernels" / file.name).is_file() for file in c_files)


def test_it_runs_from_another_folder(wheel: Path, tmp_path: Path, command_line: CommandLine) -> None:
    found = command_line("policy=hobbit", "device=orin", "--cfg", "job", cwd=tmp_path, path=wheel)
    assert found.returncode == 0, found.stderr
    searched = command_line("--info", "searchpath", cwd=tmp_path, path=wheel)
    assert str(wheel / "hobbit" / "conf") in searched.stdout
    assert list(tmp_path.iterdir()) == []
