"""What may be chosen: the options of every group, from the registry and from the YAML files."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

import hobbit
from hobbit.config.tasks import TASKS
from hobbit.plugins import discover
from hobbit.registry import summary_of

POLICY = "policy"
"""The group of presets. It is no key of the configuration: a preset only chooses in other groups."""

POLICY_GROUPS = ("loader", "prefetcher", "cache", "router", "batcher", "transfers")
"""The groups that make a policy. Quantizer and precision are what policies are compared at."""

GROUPS = ("task", "device", "model", "geometry", *POLICY_GROUPS, "quantizer", "precision", "workload", POLICY)
"""Every group that `group=option` can choose in."""


def conf_root() -> Path:
    """The folder of our own YAML: inside the package where it was installed, beside it in a checkout."""
    package = Path(hobbit.__file__).parent
    shipped = package / "conf"
    return shipped if shipped.is_dir() else package.parent / "conf"


@cache
def choices(group: str) -> dict[str, str]:
    """The options of `group` by name, each with a line that says what it is."""
    found = {name: summary_of(task) for name, task in TASKS.items()} if group == "task" else {}
    for entry in discover().registry:
        if entry.component.kind == group:
            found[entry.component.name] = summary_of(entry.component)
    for root in _roots():
        folder = root / group
        if folder.is_dir():
            files_here = (file for file in folder.iterdir() if file.name.endswith(".yaml"))
            found |= {file.name.removesuffix(".yaml"): _headline(file) for file in files_here}
    return dict(sorted(found.items()))


def _roots() -> Iterator[Path | Traversable]:
    yield conf_root()
    for _, path in discover().config_paths:
        yield files(path.removeprefix("pkg://"))


def _headline(file: Path | Traversable) -> str:
    """The first comment of a YAML file that is not a Hydra directive."""
    for line in file.read_text(encoding="utf-8").splitlines():
        if line.startswith("#") and "@package" not in line:
            return line.lstrip("# ").removesuffix(".")
    return ""
