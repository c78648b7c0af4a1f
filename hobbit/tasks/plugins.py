"""`hobbit plugins`: every component with its options, provider and status. No torch, no Hydra."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from typing import TYPE_CHECKING

from hobbit.api.component import DeviceComponent
from hobbit.plugins import Plugins, discover
from hobbit.registry import Entry, options_of, summary_of

if TYPE_CHECKING:
    from hobbit.config.schema import HobbitConfig

OK = "ok"


@dataclass(frozen=True, slots=True)
class Row:
    """What the listing says of one component."""

    kind: str
    name: str
    summary: str
    options: tuple[str, ...]
    effect: str
    source: str
    provider: str
    status: str


def run(config: HobbitConfig, overrides: Sequence[str]) -> int:
    """The task."""
    return print_plugins(config.output.value == "json")


def print_plugins(as_json: bool) -> int:
    """Print the listing, what failed included, and return 0: a broken plugin stops nobody else."""
    plugins = discover()
    rows = [_row(entry) for entry in plugins.registry]
    print(_as_json(rows, plugins) if as_json else _as_text(rows, plugins))
    return 0


def _row(entry: Entry) -> Row:
    component = entry.component
    return Row(
        kind=component.kind,
        name=component.name,
        summary=summary_of(component),
        options=tuple(map(str, options_of(component))),
        effect=component.effect.value,
        source=component.source,
        provider=entry.provider,
        status=_status(component),
    )


def _status(component: type) -> str:
    """For a device whether it can be used here; whatever else is registered can be."""
    if not issubclass(component, DeviceComponent):
        return OK
    try:
        return component().available() or OK
    except Exception as error:  # a stranger's code must not end the listing
        return f"failed: {type(error).__name__}: {error}"


def _as_json(rows: Sequence[Row], plugins: Plugins) -> str:
    listing = {
        "components": [asdict(row) for row in rows],
        "problems": [asdict(problem) for problem in plugins.problems],
    }
    return json.dumps(listing, indent=2)


def _as_text(rows: Sequence[Row], plugins: Plugins) -> str:
    """A paragraph a kind; a line for each component, then what it is and its options."""
    width = max((len(row.name) for row in rows), default=0)
    indent = "\n" + " " * (width + 4)
    lines = []
    for kind, members in groupby(rows, lambda row: row.kind):
        lines.append(f"{kind}")
        for row in members:
            source = f" [{row.source}]" if row.source else ""
            details = [f"{row.summary}{source}", *([", ".join(row.options)] if row.options else [])]
            head = f"  {row.name:{width}}  {row.effect:7}  {row.status}  {row.provider}"
            lines.append(indent.join([head, *details]))
        lines.append("")
    lines += [f"failed: {problem}" for problem in plugins.problems]
    return "\n".join(lines).rstrip()
