"""Discovery of plugins through the entry point group `hobbit`; one that fails never stops the others."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from types import ModuleType
from typing import Any

import pluggy

from hobbit import hookspecs
from hobbit.api import component as components
from hobbit.api.markers import PROJECT
from hobbit.errors import PluginError, nearest
from hobbit.registry import Registry

DISTRIBUTION = "hobbit-moe"

COMPONENT_HOOKS: dict[str, type[components.Component]] = {
    "hobbit_loaders": components.LoaderComponent,
    "hobbit_prefetchers": components.PrefetcherComponent,
    "hobbit_caches": components.CacheComponent,
    "hobbit_quantizers": components.QuantizerComponent,
    "hobbit_devices": components.DeviceComponent,
    "hobbit_routers": components.RouterComponent,
    "hobbit_batchers": components.BatcherComponent,
}
"""What each hook that returns components must return."""

CONFIG_PATHS_HOOK = "hobbit_config_paths"


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that a plugin got wrong, in one line, and who provides it."""

    provider: str
    message: str

    def __str__(self) -> str:
        return f"plugin {self.provider}: {self.message}"


@dataclass
class Plugins:
    """What discovery found: components, Hydra search paths of plugins by provider, and problems."""

    registry: Registry = field(default_factory=Registry)
    config_paths: list[tuple[str, str]] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)


@lru_cache(maxsize=1)
def discover() -> Plugins:
    """Load every plugin that is installed; done once a process."""
    return load(entry_points(group=PROJECT))


def load(points: Iterable[EntryPoint]) -> Plugins:
    """Load `points` in a fixed order: our own first, then by distribution and name.

    The order settles duplicates alone: the first provider keeps the name, so that nothing installed later
    can replace a component of ours behind the user's back.
    """
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(hookspecs)
    plugins = Plugins()
    for point in sorted(points, key=_order):
        provider = _provider(point)
        try:
            module = point.load()
            manager.register(module, provider)
        except Exception as error:  # whatever a stranger's import raises, the others go on
            plugins.problems.append(Problem(provider, f"failed to load: {_one_line(error)}"))
            continue
        _collect(manager, module, provider, plugins)
    return plugins


def _collect(manager: pluggy.PluginManager, module: ModuleType, provider: str, plugins: Plugins) -> None:
    """Call the hooks of one plugin; each thing that is wrong becomes one problem."""
    callers = manager.get_hookcallers(module) or []
    if not callers:
        plugins.problems.append(Problem(provider, "implements no hook: mark its functions with @hookimpl"))
    for caller in callers:
        try:
            # What check_pending() looks for, hook by hook, so that the plugin's other hooks still count.
            if not caller.has_spec():
                raise PluginError(f"unknown hook {caller.name!r}{nearest(caller.name, _known_hooks())}")
            for implementation in caller.get_hookimpls():
                if implementation.plugin is module:
                    items: Any = implementation.function()
                    for item in items:
                        _take(caller.name, item, provider, plugins)
        except PluginError as error:
            plugins.problems.append(Problem(provider, str(error)))
        except Exception as error:  # a stranger's code again
            plugins.problems.append(Problem(provider, f"{caller.name} failed: {_one_line(error)}"))


def _take(hook: str, item: Any, provider: str, plugins: Plugins) -> None:
    """Keep one component or search path; a bad one is a problem and leaves the rest of its hook alone."""
    try:
        if hook == CONFIG_PATHS_HOOK:
            plugins.config_paths.append((provider, _checked_path(item)))
            return
        base = COMPONENT_HOOKS[hook]
        if not (isinstance(item, type) and issubclass(item, base)):
            raise PluginError(f"{hook} returned {item!r}, which is not a {base.__name__} class")
        plugins.registry.add(item, provider)
    except PluginError as error:
        plugins.problems.append(Problem(provider, str(error)))


def _checked_path(path: str) -> str:
    """The search path itself; Hydra would pass over a missing one without a word."""
    module = path.removeprefix("pkg://")
    try:
        found = module != path and find_spec(module) is not None
    except ImportError:
        found = False
    if not found:
        raise PluginError(f"{CONFIG_PATHS_HOOK} returned {path!r}, not pkg:// and an existing package")
    return path


def _known_hooks() -> list[str]:
    return [*COMPONENT_HOOKS, CONFIG_PATHS_HOOK]


def _order(point: EntryPoint) -> tuple[bool, str, str]:
    name = point.dist.name if point.dist else ""
    return (name != DISTRIBUTION, name, point.name)


def _provider(point: EntryPoint) -> str:
    """Distribution, version and plugin: "hobbit-moe 0.1.0 (paper)"."""
    if point.dist is None:
        return point.name
    return f"{point.dist.name} {point.dist.version} ({point.name})"


def _one_line(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())
