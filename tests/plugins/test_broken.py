"""Plugins that are wrong: each gets its line, and the others go on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import CommandLine

CACHE = """
from dataclasses import dataclass
from typing import ClassVar
from hobbit.api import CacheComponent, hookimpl

@dataclass
class Cache(CacheComponent):
    name: ClassVar[str] = {name!r}
"""

PLUGINS = {
    "absent": "import no_such_module",
    "mistyped": CACHE.format(name="beside_mistyped")
    + """
@hookimpl
def hobbit_cashes():
    return [Cache]

@hookimpl
def hobbit_caches():
    return [Cache]
""",
    "duplicate": CACHE.format(name="lru")
    + """
@hookimpl
def hobbit_caches():
    return [Cache]
""",
    "unmarked": "def hobbit_caches():\n    return []",
    "raising": """
from hobbit.api import hookimpl

@hookimpl
def hobbit_routers():
    raise RuntimeError("two\\nlines")
""",
    "misplaced": CACHE.format(name="misplaced")
    + """
@hookimpl
def hobbit_loaders():
    return [Cache]

@hookimpl
def hobbit_config_paths():
    return ["pkg://nowhere.conf"]
""",
    "undecorated": CACHE.format(name="decorated")
    + """
class Frozen(Cache):
    name = "undecorated"
    depth: int = 1

@hookimpl
def hobbit_caches():
    return [Frozen, Cache]
""",
}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All of them, as an installer leaves them: a module and its metadata."""
    site = tmp_path_factory.mktemp("site")
    for name, code in PLUGINS.items():
        (site / f"bad_{name}.py").write_text(code)
        info = site / f"bad_{name}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: bad-{name}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[hobbit]\n{name} = bad_{name}\n")
    return site


@pytest.fixture(scope="module")
def listing(site: Path, command_line: CommandLine) -> dict[str, Any]:
    done = command_line("plugins", "--json", path=site)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize(
    ("plugin", "message"),
    [
        ("absent", "failed to load: ModuleNotFoundError: No module named 'no_such_module'"),
        ("mistyped", "unknown hook 'hobbit_cashes'; did you mean 'hobbit_caches'?"),
        (
            "duplicate",
            "cache/lru comes from hobbit-moe 0.1.0 (baselines) (kept) and bad-duplicate 1.0",
        ),
        ("unmarked", "implements no hook: mark its functions with @hookimpl"),
        ("raising", "hobbit_routers failed: RuntimeError: two lines"),
        (
            "misplaced",
            "hobbit_loaders returned <class 'bad_misplaced.Cache'>, which is not a Loader",
        ),
        ("misplaced", "hobbit_config_paths returned 'pkg://nowhere.conf'"),
        ("undecorated", "Frozen is not a dataclass: put @dataclass above it"),
    ],
)
def test_each_gets_its_line(listing: dict[str, Any], plugin: str, message: str) -> None:
    lines = [
        problem["message"]
        for problem in listing["problems"]
        if problem["provider"] == f"bad-{plugin} 1.0 ({plugin})"
    ]
    assert any(line.startswith(message) for line in lines), lines


def test_no_more_than_that_is_wrong(listing: dict[str, Any]) -> None:
    assert len(listing["problems"]) == 8


def test_the_others_are_there(listing: dict[str, Any], command_line: CommandLine) -> None:
    alone = json.loads(command_line("plugins", "--json").stdout)["components"]
    added = [row["name"] for row in listing["components"] if row not in alone]
    assert sorted(added) == ["beside_mistyped", "decorated"]
    assert [row for row in listing["components"] if row in alone] == alone


def test_a_run_warns_and_goes_on(site: Path, command_line: CommandLine) -> None:
    done = command_line("--multirun", "task=plugins", "cache=decorated", path=site)
    assert done.returncode == 0, done.stderr
    warnings = done.stderr.splitlines()
    assert len(warnings) == 8
    assert all(line.startswith("hobbit: warning: plugin bad-") for line in warnings)


def test_the_text_listing_names_the_failed(site: Path, command_line: CommandLine) -> None:
    lines = command_line("plugins", path=site).stdout.splitlines()
    assert sum(line.startswith("failed: plugin bad-") for line in lines) == 8
