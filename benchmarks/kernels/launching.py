"""What a launch costs the host: by way of Triton's binder, and past it."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import torch
from hobbit_devices.kernels.expert_kernels import summing

from benchmarks.kernels.slots import Bench

CALLS, ROUNDS = 200, 15
"""Launches timed at once, few enough for the queue to take them all, and how often."""


def measure(bench: Bench) -> dict[str, dict[str, float]]:
    """Host microseconds of each launch of a layer through the binder ("jit") and past it ("direct").

    "layer" is all of them as `run` and `combine` launch them, with the memory for what is between.
    """
    x, h, out = bench.states(1), bench.h, bench.out
    idle = torch.full_like(bench.slots[0], -1)  # nothing to do on the device: the queue stays short
    kernels, pairs = bench.kernels, len(idle)
    add, blocks = summing(bench.case.geometry.hidden, pairs)
    last = (out, bench.weights, bench.chosen, bench.rows, bench.final)

    def layer() -> None:
        kernels.run(x, idle, bench.tokens, out)
        kernels.combine(*last)

    calls: dict[str, Callable[[], None]] = {
        "gate_up": lambda: kernels.launches.gate_up((1, pairs), (x, idle, bench.tokens, h), 0),
        "down": lambda: kernels.launches.down((1, pairs), (h, idle, out), 0),
        "sum": lambda: add((1, blocks), last),
        "layer": layer,
    }
    found = {}
    for way in ("jit", "direct"):
        for launch in (*kernels.launches, add):
            launch.direct = way == "direct"
        found[way] = {name: _us(call) for name, call in calls.items()}
    return found


def _us(call: Callable[[], None]) -> float:
    """Median host microseconds of one call, without what the device takes."""
    times = []
    for _ in range(ROUNDS + 1):
        torch.cuda.synchronize()
        start = time.perf_counter()
        for _ in range(CALLS):
            call()
        times.append((time.perf_counter() - start) * 1e6 / CALLS)
    torch.cuda.synchronize()
    return statistics.median(times[1:])
