"""Command-line words made to fit Hydra: free text quoted, names checked, `model=` and `policy=` spelt out."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

from hydra.core.override_parser.types import Quote, QuotedString

from hobbit.config.catalogue import GROUPS, POLICY, choices
from hobbit.config.schema import HobbitConfig
from hobbit.config.tasks import TASKS
from hobbit.errors import ConfigError, nearest
from hobbit.registry import options_of

MISSING_MARK = "???"
"""What OmegaConf takes for a missing value, though a user may well ask it as a question."""

TEXTS = tuple(option.name for option in options_of(HobbitConfig) if option.type == "str | None")
"""Top-level options that take free text."""

_TEXT_KEYS = {
    *TEXTS,
    "model.path",
    *(
        f"task.{option.name}"
        for task in TASKS.values()
        for option in options_of(task)
        if "str" in option.type
    ),
}
_KEYS = [option.name for option in fields(HobbitConfig)]
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
    for word in words:
        key, equals, value = word.partition("=")
        name = key.lstrip("+~")
        if not equals and not word.startswith("~"):
            raise ConfigError(f"{word!r} is not an option; write option=value{nearest(word, _KEYS)}")
        _check_key(name)
        if name in GROUPS and name != "model":
            _check_choice(name, value)
        if name == POLICY:
            policy = [f"+{POLICY}={value}"]
        elif name == "model":
            overrides += _model(key, value, words)
        else:
            overrides.append(f"{key}={quote(value)}" if name in _TEXT_KEYS and equals else word)
    return [*overrides, *policy]


def quote(text: str) -> str:
    """`text` as a literal that Hydra's grammar and OmegaConf's interpolation both give back unchanged."""
    if text == MISSING_MARK:
        return QuotedString(f"${{oc.decode:'\"{text}\"'}}", Quote.single).with_quotes()
    # A backslash counts as an escape in front of an interpolation only: there it is doubled.
    literal = re.sub(r"(\\*)\$\{", lambda found: found.group(1) * 2 + r"\${", text)
    return QuotedString(literal, Quote.single).with_quotes()


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


def _model(key: str, value: str, words: Sequence[str]) -> list[str]:
    """An option of conf/model; else a folder or a hub id, whose geometry is its own."""
    if value in choices("model"):
        return [f"{key}={value}"]
    if not Path(value).is_dir() and not _HUB_ID.fullmatch(value):
        hint = nearest(value, choices("model"))
        raise ConfigError(f"model={value!r} is no known model, no folder and no hub id (org/name){hint}")
    geometry = [] if any(word.startswith("geometry=") for word in words) else ["geometry=own"]
    return [f"{key}=base_model", f"model.path={quote(value)}", *geometry]
