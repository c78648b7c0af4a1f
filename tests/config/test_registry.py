"""The rules that a component must keep, and what the registry says of one."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import pytest

from hobbit import hookspecs
from hobbit.api import CacheComponent, Effect
from hobbit.errors import ConfigError, PluginError
from hobbit.plugins import COMPONENT_HOOKS, CONFIG_PATHS_HOOK, discover
from hobbit.registry import Registry, options_of, summary_of


@dataclass
class Plain(CacheComponent):
    """What it does.

    And more of it.
    """

    name: ClassVar[str] = "plain"
    marks: Effect = Effect.EXACT
    weights: list[int] = field(default_factory=lambda: [1])


@dataclass
class Nameless(CacheComponent):
    """No name."""


@dataclass
class Demanding(CacheComponent):
    """An option without a default."""

    name: ClassVar[str] = "demanding"
    depth: int = field(kw_only=True)


def test_get_names_the_nearest() -> None:
    registry = Registry()
    registry.add(Plain, "here 1.0")
    assert registry.get("cache", "plain") is Plain
    with pytest.raises(ConfigError, match=r"no cache is called 'plane'; did you mean 'plain'\?"):
        registry.get("cache", "plane")


def test_the_first_provider_keeps_the_name() -> None:
    registry = Registry()
    registry.add(Plain, "first 1.0")
    with pytest.raises(PluginError, match=r"cache/plain comes from first 1.0 \(kept\) and second 2.0"):
        registry.add(Plain, "second 2.0")
    assert [entry.provider for entry in registry] == ["first 1.0"]


@pytest.mark.parametrize("component", [Nameless, Demanding, int, "text"])
def test_what_breaks_a_rule_is_refused(component: type[CacheComponent]) -> None:
    with pytest.raises(PluginError):
        Registry().add(component, "here 1.0")


def test_options_as_a_user_reads_them() -> None:
    assert [str(option) for option in options_of(Plain)] == [
        "low_share: float = 0.05",
        "marks: Effect = 'exact'",
        "weights: list[int] = [1]",
    ]
    assert summary_of(Plain) == "What it does"


def test_every_hook_is_collected() -> None:
    specified = {name for name in vars(hookspecs) if name.startswith("hobbit_")}
    assert specified == {*COMPONENT_HOOKS, CONFIG_PATHS_HOOK}


def test_nothing_of_ours_is_broken() -> None:
    assert [problem for problem in discover().problems if problem.provider.startswith("hobbit-moe")] == []
