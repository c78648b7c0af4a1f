"""hooks.md: every hook, what it must return, and the smallest plugin that does."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path

from docs.pages.markdown import code, page
from docs.pages.protocols import members
from hobbit import api, hookspecs
from hobbit.plugins import COMPONENT_HOOKS

EXAMPLES = Path(__file__).parents[1] / "examples"

INTRODUCTION = """\
A plugin is a module that an entry point of the group `hobbit` names. It marks its functions with
`@hookimpl`; each returns what it adds. Hooks are called once, while components are discovered: never per
layer or per token. A plugin that fails is listed with its reason by `hobbit plugins` and stops nobody
else; a name that is taken stays with its first owner. [write-a-policy.md](write-a-policy.md) builds one
from nothing, and [components.md](components.md) lists what is there.

Components are dataclasses: their fields are options with types and defaults, `name` is how they are
chosen, `effect` says what they may change (`hint`: slower when wrong, the same tokens; `exact`: routes
known ahead by construction; `quality`: other outputs), and `build(context)` makes the object that acts.
Letters in shapes: T tokens of a pass, L MoE layers, E experts a layer, K experts a token, D layers of
look-ahead, P precision levels, S slots. Every example below is run by the tests, against the contract
suite that your own component can use: `hobbit.testing.check_component`."""


def hooks() -> dict[str, Callable[..., object]]:
    """Every hook by name, in the order of hookspecs.py."""
    found = inspect.getmembers(hookspecs, lambda item: hasattr(item, f"{api.markers.PROJECT}_spec"))
    return dict(sorted(found, key=lambda pair: pair[1].__code__.co_firstlineno))


def hooks_page() -> str:
    """The whole page."""
    return page("Hooks", INTRODUCTION, *map(_section, hooks()))


def _section(name: str) -> str:
    hook = hooks()[name]
    signature = f"def {name}() -> {hook.__annotations__['return']}"
    parts = [f"## {name}", code(signature), inspect.getdoc(hook) or ""]
    base = COMPONENT_HOOKS.get(name)
    if base is not None:
        built = getattr(api, inspect.signature(base.build).return_annotation)
        parts += [
            f"Base: `hobbit.api.{base.__name__}`. {inspect.getdoc(base)}",
            f"What `build` returns is a `{built.__name__}`. {inspect.getdoc(built)}",
            members(built),
        ]
    parts += [f"Example, [{name}.py](examples/{name}.py):", code((EXAMPLES / f"{name}.py").read_text())]
    return "\n\n".join(parts)
