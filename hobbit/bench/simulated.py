"""The same policy on the same routing, on a simulated device: what a profile is checked with."""

from __future__ import annotations

from hobbit.assembly import assemble
from hobbit.bench.routing import BenchRouting
from hobbit.geometry import Geometry
from hobbit.setup import Setup
from hobbit.trace.replay import future_of, replay


def simulated_token_ms(setup: Setup, geometry: Geometry, routing: BenchRouting, tokens: int) -> float:
    """Milliseconds a decoded token by the device's clock, once a first sequence has filled the caches."""
    trace = routing.trace
    future = future_of(trace) if setup.needs_future else None
    assembly = assemble(setup, geometry, tokens=tokens, future=future, past=routing.past)
    try:
        replay(trace, assembly.runtime)
        decode = assembly.metrics.decode
        tokens_before, time_before = decode.tokens, decode.time_ns
        replay(trace, assembly.runtime)
        return (decode.time_ns - time_before) / (decode.tokens - tokens_before) / 1e6
    finally:
        assembly.close()
