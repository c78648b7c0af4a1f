"""The routing of a simulation: a trace by file or bundled name, or one generated with its statistics."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path

from hobbit.config.model import ModelOptions
from hobbit.config.schema import HobbitConfig
from hobbit.config.store import OWN_GEOMETRY
from hobbit.config.tasks import SimulateTask
from hobbit.errors import ConfigError
from hobbit.trace import Trace, bundled_trace, generate, measure, read_trace
from hobbit.trace.bundled import DOMAINS
from hobbit.trace.fingerprint import fingerprint_of


def find_trace(name: str) -> Trace:
    """A bundled trace, as "books" or "books.train", else the file of that name.

    Raises:
        TraceError: if there is none, or it cannot be used.
    """
    domain, _, part = name.partition(".")
    file = Path(name)
    if domain in DOMAINS or not (file.exists() or file.suffix == ".npz" or file.name != name):
        return bundled_trace(domain, part or "test")
    return read_trace(file)


def fitting_trace(config: HobbitConfig, overrides: Sequence[str]) -> Trace:
    """The trace that `config` names, if it fits the geometry; else generated routing that does.

    Raises:
        TraceError: if the trace cannot be used.
        ConfigError: if another shape was not asked for, or no geometry is known.
    """
    task, geometry = config.task, config.geometry
    assert isinstance(task, SimulateTask)
    if geometry.name == OWN_GEOMETRY.name:
        raise ConfigError("task=simulate loads no model; give geometry=NAME instead of model=")
    if min(task.prompt_tokens, task.decode_tokens, task.sequences) < 1:
        raise ConfigError("task.prompt_tokens, task.decode_tokens and task.sequences must be 1 or more")
    trace = find_trace(task.trace)
    if trace.header.shape == geometry.shape:
        return trace
    if not any(word.lstrip("+").startswith("geometry") for word in overrides):
        raise ConfigError(
            f"{task.trace} is the routing of {_words(trace)}, geometry={geometry.name} has another shape; "
            "give geometry=NAME to replay routing generated with its statistics"
        )
    sequences = [(task.prompt_tokens, task.decode_tokens)] * task.sequences
    return generate(geometry.shape, measure(trace), sequences, config.seed, trace.header.model)


def is_bundled(trace: Trace) -> bool:
    """True if the bundled model made this routing."""
    return not trace.header.synthetic and trace.header.fingerprint == _bundled_fingerprint()


@cache
def _bundled_fingerprint() -> str:
    return fingerprint_of(Path(ModelOptions().location))


def _words(trace: Trace) -> str:
    h = trace.header
    return f"{h.layers} layers of {h.experts} experts, top-{h.top_k}"
