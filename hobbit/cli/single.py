"""One run: compose, then hand over to the task."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from hobbit.config.compose import compose_overrides
from hobbit.config.schema import HobbitConfig
from hobbit.config.tasks import TASKS
from hobbit.config.words import to_overrides
from hobbit.plugins import discover


def run_single(words: Sequence[str]) -> int:
    """Run the task that `words` ask for; a leading task name is short for `task=`."""
    overrides = to_overrides(spelt_out(words))
    return run_task(compose_overrides(overrides), overrides)


def run_task(config: HobbitConfig, overrides: Sequence[str]) -> int:
    """Run the task of `config`, after a line for every plugin that is broken."""
    for problem in discover().problems:
        print(f"hobbit: warning: {problem}", file=sys.stderr)
    return config.task.load()(config, overrides)


def spelt_out(words: Sequence[str]) -> list[str]:
    """`simulate cache=lru` is `task=simulate cache=lru`."""
    if words and words[0] in TASKS:
        return [f"task={words[0]}", *words[1:]]
    return list(words)
