"""The registry: every component by kind and name, with the distribution that provides it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import MISSING, dataclass, fields
from enum import Enum
from typing import NamedTuple

from hobbit.api.component import Component
from hobbit.errors import ConfigError, PluginError, nearest

_NAME = re.compile(r"[a-z][a-z0-9_]*")


class Option(NamedTuple):
    """One option of a component: a field of its dataclass."""

    name: str
    type: str
    default: object

    def __str__(self) -> str:
        return f"{self.name}: {self.type} = {self.default!r}"


def options_of(options: type) -> list[Option]:
    """The fields of a dataclass of options, in order; enums by the value that a user types."""
    found = []
    for option in fields(options):
        default = option.default_factory() if option.default_factory is not MISSING else option.default
        type_name = option.type if isinstance(option.type, str) else option.type.__name__
        found.append(Option(option.name, type_name, default.value if isinstance(default, Enum) else default))
    return found


def summary_of(options: type) -> str:
    """The first line of the docstring, without its full stop."""
    return (options.__doc__ or "").strip().split("\n")[0].removesuffix(".")


@dataclass(frozen=True, slots=True)
class Entry:
    """A component and the distribution, version and plugin that provide it."""

    component: type[Component]
    provider: str


class Registry:
    """Components by kind and name. A name belongs to whoever registers it first; a second one is refused."""

    def __init__(self) -> None:
        self._entries: dict[tuple[str, str], Entry] = {}

    def __iter__(self) -> Iterator[Entry]:
        """Every entry, sorted by kind and name."""
        return iter(self._entries[key] for key in sorted(self._entries))

    def add(self, component: type[Component], provider: str) -> None:
        """Register `component` as coming from `provider`.

        Raises:
            PluginError: if it breaks a rule of components, or its name is taken; names both providers then.
        """
        _check(component)
        key = (component.kind, component.name)
        taken = self._entries.get(key)
        if taken is not None:
            raise PluginError(f"{'/'.join(key)} comes from {taken.provider} (kept) and {provider}: rename it")
        self._entries[key] = Entry(component, provider)

    def get(self, kind: str, name: str) -> type[Component]:
        """The component of that kind and name.

        Raises:
            ConfigError: if there is none; names the nearest one.
        """
        entry = self._entries.get((kind, name))
        if entry is None:
            raise ConfigError(f"no {kind} is called {name!r}{nearest(name, self.names(kind))}")
        return entry.component

    def names(self, kind: str) -> list[str]:
        """The names of a kind, sorted."""
        return sorted(name for known, name in self._entries if known == kind)


def _check(component: type[Component]) -> None:
    """Raise PluginError if `component` is not a typed, mutable option set with defaults throughout."""
    if not (isinstance(component, type) and issubclass(component, Component)):
        raise PluginError(f"{component!r} is not a Component class")
    label = component.__qualname__
    # On the class itself: a subclass that forgot @dataclass inherits its parent's marks, not its own fields.
    params = vars(component).get("__dataclass_params__")
    if params is None:
        raise PluginError(f"{label} is not a dataclass: put @dataclass above it")
    if params.frozen:
        raise PluginError(f"{label} is frozen: options are filled in by Hydra, so use plain @dataclass")
    if not component.kind or not _NAME.fullmatch(component.name):
        raise PluginError(f"{label} has the name {component.name!r}: use lower case letters, digits and _")
    for option in fields(component):
        if option.default is MISSING and option.default_factory is MISSING:
            raise PluginError(f"{label}.{option.name} has no default: every option needs one")
