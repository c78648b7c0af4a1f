"""Replays: the same routing under other presets, at equal device, precision and memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from hobbit.api import Past
from hobbit.assembly import Assembly, assemble
from hobbit.errors import HobbitError
from hobbit.geometry import Geometry
from hobbit.report.measures import Measures, Replayed, measure
from hobbit.report.progress import Progress
from hobbit.runtime import Observer
from hobbit.setup import Setup
from hobbit.tasks.routing import is_bundled
from hobbit.trace import Trace
from hobbit.trace.past import bundled_past, past_of
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

    The assembly is closed: it still tells what was decided while building it.
    """
    with assembled(trace, setup, geometry, tokens, past) as assembly:
        replay(trace, assembly.runtime)
        return measure(assembly.metrics, assembly.report(), assembly.context.blob_bytes), assembly


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
