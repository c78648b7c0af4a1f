"""components.md: every component with its options, every file over one, every preset."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterable, Iterator
from enum import Enum
from importlib.metadata import entry_points
from itertools import groupby
from typing import get_type_hints

from docs.pages.markdown import page, table
from docs.pages.presets import presets
from docs.pages.yaml_files import option_files
from hobbit.config.model import ModelOptions
from hobbit.config.workload import Workload
from hobbit.geometry import Geometry
from hobbit.plugins import COMPONENT_HOOKS, DISTRIBUTION, load
from hobbit.registry import Entry, Option, Registry, options_of
from hobbit.setup import PrecisionOptions, TransferOptions

INTRODUCTION = """\
What can be chosen, by kind. `kind=name` chooses a component, `kind.option=value` sets one of its
options: `cache=lru cache.per_layer=true`. `effect` says what it may change: *hint* (slower when wrong,
the same tokens), *exact* (routes known ahead by construction) or *quality* (other outputs). `hobbit
plugins` prints the same list with what other plugins add and whether each device can be used here.
[hooks.md](hooks.md) says what each kind has to do."""

OTHER_GROUPS: dict[str, type] = {
    "geometry": Geometry,
    "model": ModelOptions,
    "precision": PrecisionOptions,
    "transfers": TransferOptions,
    "workload": Workload,
}
"""The groups that no plugin adds to, and the options that their files set."""


def own_components() -> Registry:
    """The components that hobbit itself brings, whatever else is installed."""
    points = entry_points(group="hobbit")
    return load(point for point in points if point.dist and point.dist.name == DISTRIBUTION).registry


def components_page() -> str:
    """The whole page."""
    kinds = groupby(own_components(), lambda entry: entry.component.kind)
    parts = [part for kind, entries in kinds for part in _kind(kind, entries)]
    for group, schema in OTHER_GROUPS.items():
        parts += [f"## {group}", inspect.getdoc(schema) or "", _options(schema), option_files(group)]
    return page("Components and presets", INTRODUCTION, presets(), *parts)


def _kind(kind: str, entries: Iterable[Entry]) -> Iterator[str]:
    (base,) = (base for base in COMPONENT_HOOKS.values() if base.kind == kind)
    yield f"## {kind}"
    yield inspect.getdoc(base) or ""
    for entry in entries:
        yield from _component(entry)
    files = option_files(kind)
    if files:
        yield f"### Files over {kind} components"
        yield files


def _component(entry: Entry) -> Iterator[str]:
    component = entry.component
    plugin = entry.provider.rpartition("(")[2].removesuffix(")")
    source = f" Source: {component.source}." if component.source else ""
    yield f"### {component.kind}/{component.name}"
    yield inspect.getdoc(component) or ""
    yield f"Effect: {component.effect.value}. Plugin: {plugin}.{source}"
    if options_of(component):
        yield _options(component)


def _options(schema: type) -> str:
    hints = get_type_hints(schema)
    rows = [
        (f"`{option.name}`", _type(option, hints[option.name]), f"`{json.dumps(option.default)}`")
        for option in options_of(schema)
    ]
    return table(("option", "type", "default"), rows)


def _type(option: Option, hint: object) -> str:
    """The type as a user meets it: the values of an enum, else its name."""
    if isinstance(hint, type) and issubclass(hint, Enum):
        return " or ".join(f"`{member.value}`" for member in hint)
    return f"`{option.type}`"
