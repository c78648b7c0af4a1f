"""Command-line words made to fit Hydra: free text quoted, names checked, `model=` and `policy=` spelt out."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

import yaml
from omegaconf import OmegaConf

from hobbit.config.catalogue import GROUPS, POLICY, choices
from hobbit.config.schema import HobbitConfig
from hobbit.config.tasks import TASKS
from hobbit.config.text import is_text, quote
from hobbit.errors import ConfigError, nearest

_KEYS = [option.name for option in fields(HobbitConfig)]
_GRID = ("policies", "devices", "geometries", "precisions")
"""Options of tasks that need no "task." before them, for they read like the groups they list."""

DEVICE = "device"
PROFILES = (".yaml", ".yml")

_NAMES = re.compile(r"[\w.-]+(\s*,\s*[\w.-]+)*")
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")


def to_overrides(words: Sequence[str]) -> list[str]:
    """Hydra overrides from words as a user writes them (`prompt=Is 2+2=4, or {5}?`).

    The values of text options are taken verbatim. Of several policies the last one counts.

    Raises:
        ConfigError: for a word that is no override, or a name that does not exist (with the nearest).
    """
    overrides: list[str] = []
    policy: list[str] = []
    for word in map(_spelt_out, words):
        key, equals, value = word.partition("=")
        name = key.lstrip("+~")
        if not equals and not word.startswith("~"):
            raise _not_an_override(word)
        _check_key(name)
        if name == DEVICE and Path(value).suffix in PROFILES:
            overrides += _profile(value)
            continue
        if name in GROUPS and name != "model" and equals:
            _check_choice(name, value)
        if name == POLICY:
            policy = [f"+{POLICY}={value}"]
        elif name == "model":
            overrides += _model(value, words)
        elif name in GROUPS:
            overrides.append(word.lstrip("+"))  # every group has its default already: `+` would give it two
        else:
            overrides.append(f"{key}={quote(value)}" if equals and is_text(name) else word)
    return [*overrides, *policy]


def _spelt_out(word: str) -> str:
    """Options of the task by its name: `bench.layers=8` is `task.layers=8`."""
    key, _, value = word.partition("=")
    task, dot, option = key.partition(".")
    if dot and task in TASKS:
        return f"task.{option}={value}"
    return f"task.{word}" if key in _GRID else word


def _not_an_override(word: str) -> ConfigError:
    if word in _KEYS:
        return ConfigError(f"{word!r} lacks a value; write {word}=VALUE")
    if word in TASKS:
        return ConfigError(f"the task comes first: hobbit {word} ..., or task={word} anywhere")
    return ConfigError(f"{word!r} is no task and no OPTION=VALUE{nearest(word, [*TASKS, *_KEYS])}")


def _check_key(key: str) -> None:
    head = re.split(r"[.@/:]", key)[0]
    if head not in _KEYS and head not in (POLICY, "hydra"):
        raise ConfigError(f"no option is called {head!r}{nearest(head, [*_KEYS, POLICY])}")


def _check_choice(group: str, value: str) -> None:
    """Names, or a sweep of names; what else Hydra's grammar allows here is left to Hydra."""
    if not _NAMES.fullmatch(value) and value:
        return
    for name in value.split(","):
        if name.strip() not in choices(group):
            raise ConfigError(f"no {group} is called {name.strip()!r}{nearest(name.strip(), choices(group))}")


def _profile(value: str) -> list[str]:
    """A simulated device with the options that a YAML file holds, such as task=calibrate writes."""
    try:
        options = OmegaConf.load(value)
    except (OSError, yaml.YAMLError) as error:
        raise ConfigError(f"device={value!r} cannot be read as a profile: {_line(error)}") from None
    if not OmegaConf.is_dict(options):
        raise ConfigError(f"device={value!r} holds no options; task=calibrate writes such a file")
    found = {str(key): option for key, option in options.items() if key != "defaults"}
    shown = {key: quote(option) if isinstance(option, str) else option for key, option in found.items()}
    return [f"{DEVICE}=sim", *(f"{DEVICE}.{key}={option}" for key, option in shown.items())]


def _line(error: Exception) -> str:
    """What is wrong with a file, on one line."""
    reason = getattr(error, "strerror", None)
    return reason or " ".join(str(error).split())


def _model(value: str, words: Sequence[str]) -> list[str]:
    """An option of conf/model; else a folder or a hub id, whose geometry is its own."""
    if value in choices("model"):
        return [f"model={value}"]
    if not Path(value).is_dir() and not _HUB_ID.fullmatch(value):
        hint = nearest(value, choices("model"))
        raise ConfigError(f"model={value!r} is no known model, no folder and no hub id (org/name){hint}")
    geometry = [] if any(word.startswith("geometry=") for word in words) else ["geometry=own"]
    return ["model=base_model", f"model.path={quote(value)}", *geometry]
