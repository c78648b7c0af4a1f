"""Replays: the same routing under other presets, at equal device, precision and memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from hobbit.api import Context, Past, Records
from hobbit.assembly import Assembly, assemble
from hobbit.errors import ConfigError, HobbitError
from hobbit.geometry import Geometry
from hobbit.report.measures import Measures, Replayed, measure
from hobbit.report.progress import Progress
from hobbit.runtime import Observer
from hobbit.setup import Setup
from hobbit.tasks.routing import is_bundled
from hobbit.trace import Trace
from hobbit.trace.past import bundled_past, past_of
from hobbit.trace.queue import QueuedTrace, queued
from hobbit.trace.replay import future_of, replay


@contextmanager
def assembled(
    trace: Trace,
    setup: Setup,
    geometry: Geometry,
    tokens: int,
    past: Past | None = None,
    observers: Sequence[Observer] = (),
    sequences: Sequence[int] | None = None,
) -> Iterator[Assembly]:
    """A runtime to replay the chosen sequences of `trace` through (all by default); closed at the end.

    `past` is what components may learn from (None: what is known of the trace's model).
    """
    future = future_of(trace, sequences) if setup.needs_future else None
    past = past or past_beside(trace)
    assembly = assemble(setup, geometry, tokens=tokens, observers=observers, future=future, past=past)
    try:
        yield assembly
    finally:
        assembly.close()


def replay_setup(
    trace: Trace, setup: Setup, geometry: Geometry, tokens: int, past: Past | None = None
) -> tuple[Measures, Assembly]:
    """Measures of `setup` on the recorded routing, on its device's clock, without weights.

    Where the setup has a queue, the sequences of `trace` are its requests. The assembly is closed: it still
    tells what was decided while building it.
    """
    past = past or past_beside(trace)
    if setup.queue.waiting > 1:
        trace = queue_of(trace, setup, geometry)
        tokens = max(tokens, trace.kv_tokens)
    with assembled(trace, setup, geometry, tokens, past) as assembly:
        replay(trace, assembly.runtime)
        return measure(assembly.metrics, assembly.report(), assembly.context.blob_bytes), assembly


def queue_of(trace: Trace, setup: Setup, geometry: Geometry) -> QueuedTrace:
    """The sequences of `trace` as requests of the setup's queue, batched by its batcher.

    Raises:
        ConfigError: if there are fewer sequences than are to wait.
    """
    waiting = setup.queue.waiting
    if trace.sequences < waiting:
        raise ConfigError(
            f"workload.waiting={waiting}, but the routing has {trace.sequences} sequences; lower it, or give "
            "more sequences"
        )
    if setup.batcher is None:
        raise ConfigError("a queue needs a batcher: give batcher=first_come")
    known = Context(geometry, (), (), Records(geometry.shape), setup.seed, setup.deterministic)
    return queued(trace, waiting, setup.queue.budget, setup.batcher.build(known))


def past_beside(trace: Trace) -> Past:
    """What components may learn from before they replay `trace`."""
    return bundled_past if is_bundled(trace) else past_of(trace.header)


def replay_others(
    trace: Trace,
    others: Mapping[str, Setup],
    geometry: Geometry,
    tokens: int,
    progress: Progress,
    past: Past | None = None,
) -> tuple[list[Replayed], list[str]]:
    """The presets by name, each replayed; and a note for every one that cannot be, on this much memory."""
    replayed, notes = [], []
    for preset, setup in others.items():
        progress.stage(f"replaying the routing under {preset}")
        try:
            measures, _ = replay_setup(trace, setup, geometry, tokens, past)
        except HobbitError as error:
            notes.append(f"{preset} is not compared: {error}")
        else:
            replayed.append(Replayed(preset, measures))
    return replayed, notes
