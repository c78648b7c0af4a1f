"""Batch 1: the best blocks of each launch, then a whole call as it runs in a model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import torch
from hobbit_devices.kernels.configs import Blocks, Plan

from benchmarks.kernels import launching
from benchmarks.kernels.cases import candidates
from benchmarks.kernels.slots import Bench
from benchmarks.kernels.timing import replay_us


def tune(bench: Bench) -> dict[str, list[tuple[float, Blocks]]]:
    """Microseconds of both launches with every candidate, fastest first."""
    x, h = bench.states(1), bench.h.clone()
    times: dict[str, list[tuple[float, Blocks]]] = {"up": [], "down": []}
    for blocks in candidates(bench.case.precision):
        kernels = bench.planned(Plan(blocks, blocks))
        launches: dict[str, Callable[[torch.Tensor], None]] = {
            "up": lambda slots: kernels.gate_up(x, slots, bench.tokens, h),  # noqa: B023
            "down": lambda slots: kernels.down(bench.h, slots, bench.out),  # noqa: B023
        }
        for name, launch in launches.items():
            times[name].append((_rotated(bench, launch), blocks))
    return {name: sorted(found, key=lambda pair: pair[0]) for name, found in times.items()}


def whole(bench: Bench, plan: Plan) -> float:
    """Microseconds of one call: two products and the weighted sum."""
    x, kernels = bench.states(1), bench.planned(plan)

    def call(slots: torch.Tensor) -> None:
        kernels.run(x, slots, bench.tokens, bench.out)
        kernels.combine(bench.out, bench.weights, bench.chosen, bench.rows, bench.final)

    return _rotated(bench, call)


def measure(bench: Bench, bandwidth: float) -> dict[str, Any]:
    """Everything about one case, as it goes to the JSON."""
    default = bench.kernels.single
    tuned = tune(bench)
    best = Plan(tuned["up"][0][1], tuned["down"][0][1])
    default_us, best_us = whole(bench, default), whole(bench, best)
    return {
        "case": bench.case.label,
        "bytes": bench.call_bytes,
        "bar": bench.case.bar,
        "default": {"us": default_us, **_share(bench, default_us, bandwidth), "plan": asdict(default)},
        "best": {"us": best_us, **_share(bench, best_us, bandwidth), "plan": asdict(best)},
        "launch": launching.measure(bench),
        "tried": {
            name: [{"us": us, **asdict(blocks)} for us, blocks in times] for name, times in tuned.items()
        },
    }


def _share(bench: Bench, us: float, bandwidth: float) -> dict[str, float]:
    rate = bench.call_bytes / (us * 1e-6)
    return {"gb_s": rate / 1e9, "share": rate / bandwidth}


def _rotated(bench: Bench, call: Callable[[torch.Tensor], None]) -> float:
    return replay_us([lambda slots=slots: call(slots) for slots in bench.slots])  # type: ignore[misc]
