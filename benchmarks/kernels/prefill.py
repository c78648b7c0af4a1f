"""Many tokens: grouped products, beside one torch product an expert on native weights."""

from __future__ import annotations

from typing import Any

import torch
from hobbit_devices.kernels.configs import Plan
from hobbit_devices.kernels.support import shared_memory
from torch.nn.functional import linear, silu

from benchmarks.kernels.cases import DEVICE, GROUPED_TOKENS, grouped_plans
from benchmarks.kernels.slots import Bench
from benchmarks.kernels.timing import replay_us


def measure(bench: Bench) -> list[dict[str, Any]]:
    """Microseconds by tokens: the table's blocks, the fastest candidate, and torch (native only)."""
    rows = []
    for tokens in GROUPED_TOKENS:
        x, (slots, offsets, order) = bench.states(tokens), bench.grouped(tokens)
        out = torch.empty((len(order), bench.case.geometry.hidden), device=DEVICE)

        def timed(plan: Plan) -> float:
            return replay_us([lambda: bench.kernels.run_grouped(x, slots, offsets, order, out, plan)])  # noqa: B023

        plans = grouped_plans(bench.kernels.format, tokens, shared_memory(torch.device(DEVICE)))
        times = {_name(plan): timed(plan) for plan in plans}
        fastest = min(times, key=lambda name: times[name])
        row = {
            "case": bench.case.label,
            "tokens": tokens,
            "us": times[_name(plans[0])],
            "best_us": times[fastest],
            "best": fastest,
            "tried": times,
            "tflops": 2 * len(order) * bench.case.geometry.expert_values / times[fastest] / 1e6,
            "experts": len(slots),
        }
        if bench.case.precision == "native":
            row["torch_us"] = _torch(bench, x, slots, offsets, order)
        rows.append(row)
    return rows


def _name(plan: Plan) -> str:
    return f"m{plan.up.m} n{plan.up.n} k{plan.up.k} w{plan.up.warps} s{plan.up.stages}"


def _torch(
    bench: Bench, x: torch.Tensor, slots: torch.Tensor, offsets: torch.Tensor, order: torch.Tensor
) -> float:
    format = bench.kernels.format
    bounds = offsets.tolist()
    work = []
    for slot, start, stop in zip(slots.tolist(), bounds[:-1], bounds[1:], strict=True):
        views = [
            bench.pool[slot, m.data : m.data + 2 * m.rows * m.columns]
            .view(torch.bfloat16)
            .view(m.rows, m.columns)
            for m in (format.up, format.down)
        ]
        work.append((views, order[start:stop].long()))

    def call() -> None:
        for (up, down), tokens in work:
            gate, value = linear(x[tokens], up).chunk(2, dim=-1)
            linear(silu(gate) * value, down)

    return replay_us([call])
