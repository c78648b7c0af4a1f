"""Replays: the same routing under other presets, at equal device, precision and memory."""

from __future__ import annotations

from collections.abc import Mapping

from hobbit.assembly import Assembly, assemble
from hobbit.errors import HobbitError
from hobbit.geometry import Geometry
from hobbit.report.measures import Measures, Replayed, measure
from hobbit.report.progress import Progress
from hobbit.setup import Setup
from hobbit.trace import Trace
from hobbit.trace.replay import future_of, replay


def replay_setup(trace: Trace, setup: Setup, geometry: Geometry, tokens: int) -> tuple[Measures, Assembly]:
    """Measures of `setup` on the recorded routing, on its device's clock, without weights.

    The assembly is closed: it still tells what was decided while building it.
    """
    future = future_of(trace) if setup.cache.needs_future else None
    assembly = assemble(setup, geometry, tokens=tokens, future=future)
    try:
        replay(trace, assembly.runtime)
        report = assembly.runtime.device.report()
        return measure(assembly.metrics, report, assembly.context.blob_bytes), assembly
    finally:
        assembly.close()


def replay_others(
    trace: Trace, others: Mapping[str, Setup], geometry: Geometry, tokens: int, progress: Progress
) -> tuple[list[Replayed], list[str]]:
    """The presets by name, each replayed; and a note for every one that cannot be, on this much memory."""
    replayed, notes = [], []
    for preset, setup in others.items():
        progress.stage(f"replaying the routing under {preset}")
        try:
            measures, _ = replay_setup(trace, setup, geometry, tokens)
        except HobbitError as error:
            notes.append(f"{preset} is not compared: {error}")
        else:
            replayed.append(Replayed(preset, measures))
    return replayed, notes
