"""Every hook is documented, and its example is a plugin that works."""

from __future__ import annotations

from importlib.metadata import EntryPoint
from importlib.resources import files

import pytest

from docs.pages.hooks import EXAMPLES, hooks
from hobbit.plugins import COMPONENT_HOOKS, CONFIG_PATHS_HOOK, Plugins, load
from hobbit.testing import check_component

HOOKS = hooks()


def example(hook: str) -> Plugins:
    """What discovery makes of the example of `hook`."""
    return load([EntryPoint("example", f"docs.examples.{hook}", "hobbit")])


def test_all_hooks_are_found() -> None:
    assert set(HOOKS) == {*COMPONENT_HOOKS, CONFIG_PATHS_HOOK}


@pytest.mark.parametrize("hook", HOOKS)
def test_a_hook_says_what_it_is_for(hook: str) -> None:
    assert (HOOKS[hook].__doc__ or "").strip()


@pytest.mark.parametrize("hook", HOOKS)
def test_its_example_is_discovered_without_a_problem(hook: str) -> None:
    plugins = example(hook)
    assert not plugins.problems
    assert list(plugins.registry) or plugins.config_paths


@pytest.mark.parametrize("hook", COMPONENT_HOOKS)
def test_its_example_keeps_the_contract(hook: str) -> None:
    for entry in example(hook).registry:
        check_component(entry.component)


def test_the_folder_of_the_example_has_a_preset() -> None:
    ((_, path),) = example(CONFIG_PATHS_HOOK).config_paths
    assert (files(path.removeprefix("pkg://")) / "policy" / "example.yaml").is_file()


def test_no_example_is_left_over() -> None:
    assert {file.stem for file in EXAMPLES.glob("hobbit_*.py")} == set(HOOKS)
