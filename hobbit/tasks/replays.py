"""Replays: the same routing under other presets, at equal device, precision and memory."""

from __future__ import annotations

from hobbit.assembly import assemble
from hobbit.geometry import Geometry
from hobbit.report.measures import Measures, measure
from hobbit.setup import Setup
from hobbit.trace import Trace
from hobbit.trace.replay import future_of, replay


def replay_setup(trace: Trace, setup: Setup, geometry: Geometry, tokens: int) -> Measures:
    """Measures of `setup` on the recorded routing, on its device's clock, without weights."""
    future = future_of(trace) if setup.cache.needs_future else None
    assembly = assemble(setup, geometry, tokens=tokens, future=future)
    try:
        replay(trace, assembly.runtime)
        report = assembly.runtime.device.report()
        return measure(assembly.metrics, report, assembly.context.blob_bytes)
    finally:
        assembly.close()
