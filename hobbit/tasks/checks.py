"""What can be said of the options before a model is loaded."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from hobbit.config.catalogue import POLICY, choices
from hobbit.config.schema import HobbitConfig
from hobbit.errors import ConfigError, nearest
from hobbit.prompts import DOMAINS
from hobbit.report.output import check_out

_LARGEST_SEED = 2**63 - 1

_QUEUED = ("simulate", "compare")
"""Tasks that replay a queue of requests where one is asked for."""


def check_options(config: HobbitConfig) -> None:
    """Raise ConfigError for an option whose value makes no sense, or an `out` that cannot be written."""
    if not 0 <= config.temperature < float("inf"):  # so written, NaN fails too
        raise ConfigError(f"temperature={config.temperature} is no temperature; give 0 (greedy) or more")
    if config.threads < 0:
        raise ConfigError(
            f"threads={config.threads} is negative; give a number, or 0 for what fits the model"
        )
    if not 0 <= config.seed <= _LARGEST_SEED:
        raise ConfigError(f"seed={config.seed} is out of range; give a number from 0 to 2^63 - 1")
    if config.max_new_tokens < 1:
        raise ConfigError(f"max_new_tokens={config.max_new_tokens} generates nothing; ask for at least 1")
    if config.prefill_chunk < 0:
        raise ConfigError(
            f"prefill_chunk={config.prefill_chunk} is negative; give tokens, or 0 for no chunks"
        )
    _check_queue(config)
    check_names(POLICY, config.compare, choices(POLICY), "compare: ")
    check_out(config.out)


def _check_queue(config: HobbitConfig) -> None:
    task = config.task.name
    if config.workload.queue().waiting > 1 and task not in _QUEUED:
        raise ConfigError(
            f"workload.waiting={config.workload.waiting} makes a queue, but task={task} serves one request "
            f"at a time; leave it out, or use {' or '.join(f'task={name}' for name in _QUEUED)}"
        )


def check_names(kind: str, names: Iterable[str], known: Collection[str], where: str = "") -> None:
    """Raise ConfigError for a name that is none of `known`, with the nearest; `where` begins the message."""
    for name in names:
        if name not in known:
            raise ConfigError(f"{where}no {kind} is called {name!r}{nearest(name, known)}")


def refuse_oracle(config: HobbitConfig, instead: str) -> None:
    """Raise ConfigError for a policy that has to know the routing beforehand; `instead` says what to do."""
    for component in (config.cache, config.prefetcher):
        if component.needs_future:
            raise ConfigError(
                f"{component.kind}={component.name} has to know the routing beforehand; {instead}"
            )


def check_sample(section: str, tokens: int, domains: Sequence[str]) -> None:
    """Raise ConfigError unless `section.tokens` and `section.domains` ask for some quality."""
    if tokens < 1:
        raise ConfigError(f"{section}.tokens={tokens} measures nothing; ask for at least 1")
    if not domains:
        raise ConfigError(f"{section}.domains is empty; choose of {', '.join(DOMAINS)}")
    check_names("domain", domains, DOMAINS, f"{section}.domains: ")
