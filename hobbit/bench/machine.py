"""What the machine can do, measured: the bandwidths that efficiencies and profiles are made of."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import torch
from torch.nn.functional import linear, silu

from hobbit.bench.clock import Backend

REPEATS = 7
LARGE = 256 * 2**20
SMALL = 64 * 2**10
LARGE_HIDDEN, LARGE_FFN = 4096, 14336
COLD = 2 * 10**9
"""Bytes of weights that cold products rotate over, more than any cache holds."""


@dataclass(frozen=True, slots=True)
class Rates:
    """10^9 bytes/s, 10^12 operations/s and microseconds; experts at batch 1, in their own dtype.

    `link`: from locked host memory to the device. `memory`: what a product on the device draws of its
    weights. `host`: what an expert on the host's processor draws of its own.
    """

    link_gb_s: float
    link_latency_us: float
    memory_gb_s: float
    tflops: float
    host_gb_s: float
    host_tflops: float


def measure_rates(
    place: torch.device, hidden: int, ffn: int, dtype: torch.dtype, scale: float = 1.0
) -> Rates:
    """Measure them with experts of `hidden` x `ffn`; `scale` shrinks the amounts of memory, for tests."""
    backend = Backend(place)
    large = max(SMALL * 4, int(LARGE * scale))
    bandwidth, latency = _link(backend, large)
    # Small products are bound by their launch: the memory is measured with large ones.
    wide = max(ffn, int(scale * LARGE_FFN))
    memory = _expert_bandwidth(backend, max(hidden, int(scale * LARGE_HIDDEN)), wide, dtype, scale)
    host = _expert_bandwidth(Backend(torch.device("cpu")), hidden, ffn, dtype, scale)
    size = max(128, int((8192 if place.type == "cuda" else 1024) * min(1.0, scale * 4)))
    return Rates(
        bandwidth,
        latency,
        memory,
        _flops(backend, size, dtype),
        host,
        _flops(Backend(torch.device("cpu")), min(size, 2048), dtype),
    )


def measure_disk(nbytes: int = 10**9, folder: Path | None = None) -> float | None:
    """10^9 bytes/s of reading a file that is not in the page cache; None where that cannot be emptied."""
    if not hasattr(os, "posix_fadvise"):
        return None
    block = os.urandom(2**20)
    with tempfile.NamedTemporaryFile(dir=folder) as file:
        for _ in range(max(1, nbytes // len(block))):
            file.write(block)
        file.flush()
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        buffer = bytearray(16 * len(block))
        start, read = perf_counter(), 0
        with Path(file.name).open("rb", buffering=0) as again:
            while count := again.readinto(buffer):
                read += count
        return read / (perf_counter() - start) / 1e9


def _link(backend: Backend, large: int) -> tuple[float, float]:
    """Bandwidth, and the latency that is left of a small copy."""
    pin = backend.place.type == "cuda"
    host = torch.zeros(large, dtype=torch.uint8, pin_memory=pin)
    there = torch.empty(large, dtype=torch.uint8, device=backend.place)

    def copy(size: int) -> Callable[[], None]:
        return lambda: void(there[:size].copy_(host[:size], non_blocking=True))

    long, short = (_seconds(backend, [copy(size)]) for size in (large, SMALL))
    bandwidth = large / long
    return bandwidth / 1e9, max(0.0, short - SMALL / bandwidth) * 1e6


def _expert_bandwidth(backend: Backend, hidden: int, ffn: int, dtype: torch.dtype, scale: float) -> float:
    """Bytes of weights over the time of one expert for one token, rotating over cold ones."""
    nbytes = 3 * hidden * ffn * dtype.itemsize
    count = max(2, min(64, int(COLD * scale) // nbytes))
    options: dict[str, Any] = {"dtype": dtype, "device": backend.place}
    ups = _copies(torch.randn(2 * ffn, hidden, **options), count)
    downs = _copies(torch.randn(hidden, ffn, **options), count)
    state = torch.randn(1, hidden, **options)

    def expert(number: int) -> Callable[[], None]:
        def run() -> None:
            gate, up = linear(state, ups[number]).chunk(2, dim=-1)
            linear(silu(gate) * up, downs[number])

        return run

    return nbytes / _seconds(backend, [expert(number) for number in range(count)]) / 1e9


def _copies(first: torch.Tensor, count: int) -> list[torch.Tensor]:
    """`first` and copies of it: drawing takes far longer than copying. Constants would run too fast."""
    return [first, *(first.clone() for _ in range(count - 1))]


def _flops(backend: Backend, size: int, dtype: torch.dtype) -> float:
    left, right = (torch.randn(size, size).to(backend.place, dtype) for _ in range(2))
    return 2 * size**3 / _seconds(backend, [lambda: void(left @ right)]) / 1e12


@torch.no_grad()
def _seconds(backend: Backend, calls: Sequence[Callable[[], None]]) -> float:
    """Median seconds of one call, over rounds of all of them, after a warm-up."""
    rounds = []
    for attempt in range(REPEATS + 1):
        backend.finish()
        start = perf_counter()
        for call in calls:
            call()
        backend.finish()
        if attempt:
            rounds.append((perf_counter() - start) / len(calls))
    return median(rounds)


def void(value: object) -> None:
    """Forget a result."""
