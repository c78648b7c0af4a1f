"""Times on the device: medians of graph replays, cold L2, and the bandwidth to compare with."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence

import torch

from benchmarks.kernels.cases import DEVICE

WARMUP, REPEATS = 2, 9


def replay_us(calls: Sequence[Callable[[], object]]) -> float:
    """Median microseconds of one of `calls`, captured together in a graph and replayed.

    Infinite if a kernel's blocks are too large for the device.
    """
    from triton.runtime.errors import OutOfResources

    try:
        calls[0]()  # compiles, which a capture must not
    except OutOfResources:
        return float("inf")
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for call in calls:
            call()
    times: list[float] = []
    for _ in range(WARMUP + REPEATS):
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
        begin.record()
        graph.replay()
        end.record()
        end.synchronize()
        times.append(begin.elapsed_time(end) * 1e3 / len(calls))
    return statistics.median(times[WARMUP:])


def copy_bandwidth(nbytes: int = 4 << 30) -> float:
    """Bytes a second of a device-to-device copy of `nbytes`, bytes read plus bytes written."""
    source = torch.randint(0, 256, (nbytes,), dtype=torch.uint8, device=DEVICE)
    target = torch.empty_like(source)
    return 2 * nbytes / (replay_us([lambda: target.copy_(source)]) * 1e-6)


def read_bandwidth(nbytes: int = 4 << 30) -> float:
    """Bytes a second of a sum over `nbytes`: what a kernel that only reads may reach."""
    source = torch.randn(nbytes // 4, device=DEVICE)
    return nbytes / (replay_us([lambda: source.sum()]) * 1e-6)
