"""Experts read in place from pinned host memory, over the link: whole ones, half of their units, and half
beside an expert in device memory."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from typing import Any

import torch
from hobbit_devices.kernels.expert_kernels import ExpertKernels

from benchmarks.kernels.cases import DEVICE
from benchmarks.kernels.slots import Bench
from benchmarks.kernels.timing import REPEATS, WARMUP, replay_us

PLACES = 8
"""Blobs on the host to rotate over."""


def measure(bench: Bench) -> dict[str, Any] | None:
    """GB/s of one pair over the link by the share of its units; None where experts cannot be cut.

    "beside" is half of one in a stream of low priority, launched before a whole expert of the pool in the
    current stream: when both have ended, and when the latter has, in microseconds from the start.

    Raises RuntimeError if a blob on the host gives other bits than its copy on the device.
    """
    cut, nbytes, ffn = bench.kernels.cut, bench.layout.nbytes, bench.case.geometry.ffn
    if not cut:
        return None
    flat = bench.pool[:PLACES].cpu().pin_memory().view(-1, 64)
    kernels = ExpertKernels(bench.layout, flat)
    x, out, token = bench.states(1), bench.out[:1], bench.tokens[:1]
    places = [torch.tensor([slot * nbytes // 64], dtype=torch.int32, device=DEVICE) for slot in range(PLACES)]
    found: dict[str, Any] = {"case": bench.case.label}
    for share, first in (("whole", 0), ("half", ffn // 2 // cut * cut)):
        for slot, place in enumerate(places):
            there, here = torch.empty_like(out), torch.empty_like(out)
            kernels.run(x, place, token, there, first)
            bench.kernels.run(x, bench.slots.view(-1)[slot : slot + 1], token, here, first)
            if not torch.equal(there, here):
                raise RuntimeError(f"{bench.case.label}: other bits from host memory, units from {first}")
        us = replay_us([lambda place=place: kernels.run(x, place, token, out, first) for place in places])  # type: ignore[misc]  # noqa: B023
        found[share] = {"us": us, "gb_s": nbytes * (1 - first / ffn) / us / 1e3}
    other = torch.empty_like(out)
    found["beside"] = _beside(
        lambda turn: kernels.run(x, places[turn % PLACES], token, out, first),
        lambda turn: bench.kernels.run(x, bench.slots.view(-1)[turn % PLACES :][:1], token, other),
    )
    return found


def _beside(read: Callable[[int], object], run: Callable[[int], object]) -> dict[str, float]:
    side, here = torch.cuda.Stream(DEVICE, priority=0), torch.cuda.current_stream()  # type: ignore[no-untyped-call]
    both: list[float] = []
    ran: list[float] = []
    for turn in range(WARMUP + REPEATS):
        begin, middle, end = (torch.cuda.Event(enable_timing=True) for _ in range(3))  # type: ignore[no-untyped-call]
        torch.cuda.synchronize()
        begin.record()
        side.wait_event(begin)
        with torch.cuda.stream(side):
            read(turn)
        run(turn)
        middle.record()
        here.wait_stream(side)
        end.record()
        end.synchronize()
        both.append(begin.elapsed_time(end) * 1e3)
        ran.append(begin.elapsed_time(middle) * 1e3)
    return {"us": statistics.median(both[WARMUP:]), "ran_us": statistics.median(ran[WARMUP:])}
