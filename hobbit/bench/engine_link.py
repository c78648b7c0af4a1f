"""The link as the engine uses it: copies through the device, its queues and threads included."""

from __future__ import annotations

from statistics import median
from time import perf_counter

from hobbit.api import Copy, Device, ExpertKey
from hobbit.assembly import Assembly
from hobbit.bench.clock import Backend

ROUNDS = 9


def engine_link(assembly: Assembly, backend: Backend) -> tuple[float, float] | None:
    """10^9 bytes/s and microseconds a copy, from the blobs of two precisions; None if there is but one.

    Copies come as a layer asks for them, top-K at once. The assembly serves no run afterwards: slots are
    overwritten without its knowledge.
    """
    sizes = assembly.context.blob_bytes
    if len(sizes) < 2 or min(assembly.plan.slots) < assembly.context.shape.top_k:
        return None
    high, low = (_seconds(assembly, level, backend) for level in range(2))
    if high <= low:
        return None
    bandwidth = (sizes[0] - sizes[1]) / (high - low)
    return bandwidth / 1e9, max(0.0, low - sizes[1] / bandwidth) * 1e6


def _seconds(assembly: Assembly, level: int, backend: Backend) -> float:
    """Median seconds of one copy among the top-K of a layer."""
    shape, device = assembly.context.shape, assembly.runtime.device
    times = []
    for attempt in range(ROUNDS):
        layer = attempt % shape.layers
        keys = [ExpertKey(layer, expert, level) for expert in range(shape.top_k)]
        backend.finish()
        start = perf_counter()
        _copy(device, keys, assembly.context.blob_bytes[level])
        backend.finish()
        times.append((perf_counter() - start) / len(keys))
    return median(times[1:])


def _copy(device: Device, keys: list[ExpertKey], nbytes: int) -> None:
    copies = [Copy(key, slot, True, nbytes) for slot, key in enumerate(keys)]
    for copy in copies:
        device.load(copy)
    device.wait(copies)
