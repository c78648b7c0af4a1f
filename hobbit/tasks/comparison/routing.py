"""The routing that all policies of a cell are compared on: recorded, or generated for other shapes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from hobbit.api import Past, PastRequest
from hobbit.config.workload import Lengths
from hobbit.errors import ConfigError, TraceError
from hobbit.tasks.replays import past_beside
from hobbit.tasks.routing import find_trace
from hobbit.trace import Trace, generate, measure
from hobbit.trace.cut import cut, joined, pieces
from hobbit.types import RoutingShape

_SEED_STEP = 2
"""Between the seeds of generated sequences: the one after each is that of its past."""


@dataclass(frozen=True, slots=True)
class WorkloadRouting:
    """`trace` is replayed, `past` may be learnt from; `origin` says in words where the trace comes from."""

    trace: Trace
    past: Past
    origin: str


@cache
def workload_routing(
    names: tuple[str, ...], shape: RoutingShape, lengths: Lengths, seed: int, waiting: int = 1
) -> WorkloadRouting:
    """A sequence of these lengths out of each named trace, or one generated with its statistics.

    With a queue, so many sequences as wait in it, as evenly from all traces as can be. Kept for the life of
    the process: every policy replays the same.

    Raises:
        TraceError: if a trace cannot be used.
        ConfigError: if a trace holds no sequence that is long enough.
    """
    shares = [waiting // len(names) + (n < waiting % len(names)) for n in range(len(names))]
    parts = [
        _sequences(name, shape, lengths, seed + _SEED_STEP * n, share if waiting > 1 else 1)
        for n, (name, share) in enumerate(zip(names, shares, strict=True))
        if share or waiting == 1
    ]
    trace = joined(parts)
    how = "generated with the statistics of" if trace.header.synthetic else "recorded:"
    return WorkloadRouting(trace, _past(parts), f"{how} {', '.join(names)}")


def _sequences(name: str, shape: RoutingShape, lengths: Lengths, seed: int, count: int) -> Trace:
    trace = find_trace(name)
    if trace.header.shape != shape:
        return generate(shape, measure(trace), [lengths] * count, seed, trace.header.model)
    try:
        return cut(trace, *lengths) if count == 1 else pieces(trace, *lengths, count)
    except TraceError as error:
        raise ConfigError(f"workload.pairs: {list(lengths)} does not fit trace {name}: {error}") from None


def _past(parts: Sequence[Trace]) -> Past:
    """The pasts of all parts, each once."""
    pasts = list(dict.fromkeys(past_beside(part) for part in parts))

    def requests() -> Sequence[PastRequest]:
        return tuple(request for past in pasts for request in past())

    return cache(requests)


def check_lengths(
    names: tuple[str, ...], shape: RoutingShape, lengths: Sequence[Lengths], seed: int, waiting: int
) -> None:
    """Find out early what recorded traces are too short for; raises as `workload_routing` does."""
    if any(find_trace(name).header.shape == shape for name in names):
        for pair in lengths:
            workload_routing(names, shape, pair, seed, waiting)
