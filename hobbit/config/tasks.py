"""The tasks that `task=` may name: their options, and where the function that does the work is found."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from hobbit.config.schema import HobbitConfig

    TaskFunction = Callable[[HobbitConfig, Sequence[str]], int]


@dataclass
class Task:
    """Base of every task: a dataclass of options. `function` is "module:function", imported when it runs.

    The function takes the configuration and the Hydra overrides that made it, and returns an exit code.
    """

    name: ClassVar[str] = ""
    function: ClassVar[str] = ""

    @classmethod
    def load(cls) -> TaskFunction:
        """Import the task's function, torch and all."""
        module, _, name = cls.function.partition(":")
        function: TaskFunction = getattr(import_module(module), name)
        return function


@dataclass
class RunTask(Task):
    """Continue the prompt on the chosen device, measure it, and replay its routing under other policies."""

    name: ClassVar[str] = "run"
    function: ClassVar[str] = "hobbit.tasks.run:run"


@dataclass
class RecordTask(Task):
    """Record the routing of the prompt as a trace, written to out=."""

    name: ClassVar[str] = "record"
    function: ClassVar[str] = "hobbit.tasks.record:run"


@dataclass
class SimulateTask(Task):
    """Replay a trace on the virtual clock, without weights; `trace` is a file or a bundled name."""

    name: ClassVar[str] = "simulate"
    function: ClassVar[str] = "hobbit.tasks.simulate:run"
    trace: str = "books"


@dataclass
class EvaluateTask(Task):
    """Measure the quality of a policy against the model at high precision."""

    name: ClassVar[str] = "evaluate"
    function: ClassVar[str] = "hobbit.tasks.evaluate:run"


@dataclass
class PluginsTask(Task):
    """List every component: kind, name, options, provider and status."""

    name: ClassVar[str] = "plugins"
    function: ClassVar[str] = "hobbit.tasks.plugins:run"


TASKS: dict[str, type[Task]] = {
    task.name: task for task in (RunTask, RecordTask, SimulateTask, EvaluateTask, PluginsTask)
}
"""Every task by name."""
