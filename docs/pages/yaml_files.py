"""The YAML files of a group: a table of what each one is over and what it sets."""

from __future__ import annotations

import json
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from docs.pages.markdown import table
from hobbit.config.catalogue import choices, conf_root


def yaml_files(group: str) -> list[Path]:
    """Our own files of a group, sorted; those of other plugins are theirs to document."""
    return sorted((conf_root() / group).glob("*.yaml"))


def option_files(group: str) -> str:
    """The table of a group's files; empty where it has none."""
    rows = [
        (f"[`{file.stem}`](../conf/{group}/{file.name})", choices(group)[file.stem], *_content(file))
        for file in yaml_files(group)
    ]
    return table(("name", "what", "over", "sets"), rows) if rows else ""


def _content(file: Path) -> tuple[str, str]:
    """The base of a file, and its values."""
    content = OmegaConf.load(file)
    assert isinstance(content, DictConfig)
    base = next(name for name in content.pop("defaults") if name != "_self_")
    return f"`{base}`", ", ".join(f"`{key!s}={_typed(value)}`" for key, value in content.items())


def _plain(value: object) -> object:
    return OmegaConf.to_container(value) if OmegaConf.is_config(value) else value


def _typed(value: object) -> str:
    """A value as a user types it."""
    return value if isinstance(value, str) else json.dumps(_plain(value))
