"""Compiles all candidates beforehand, in several processes that share Triton's cache on disk."""

from __future__ import annotations

import os
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import torch
from hobbit_devices.kernels.configs import Plan, grouped_plan
from hobbit_devices.kernels.formats import ExpertFormat
from hobbit_devices.kernels.support import shared_memory

from benchmarks.kernels.blobs import layout_of
from benchmarks.kernels.cases import (
    CASES,
    CHECKED_TOKENS,
    DEVICE,
    GROUPED_TOKENS,
    Case,
    candidates,
    grouped_plans,
)

Job = tuple[int, Plan, int]
"""A case, the blocks, and the experts of a grouped call (0: batch 1)."""


def compile_all(cases: tuple[Case, ...], grouped: bool) -> int:
    """Number of plans compiled."""
    jobs: dict[Job, None] = {}
    shared = shared_memory(torch.device(DEVICE))
    for case in cases:
        index, geometry = CASES.index(case), case.geometry
        for blocks in candidates(case.precision):
            jobs[index, Plan(blocks, blocks), 0] = None
        format = ExpertFormat.of(layout_of(geometry, case.precision))
        plans = [(tokens, grouped_plan(format, tokens, shared)) for tokens in CHECKED_TOKENS]
        for tokens in GROUPED_TOKENS if grouped else ():
            plans += [(tokens, plan) for plan in grouped_plans(format, tokens, shared)]
        for tokens, plan in plans:
            few = min(geometry.experts, tokens * geometry.top_k)
            jobs[index, plan, 16 if few <= 16 else geometry.experts] = None
    workers = max(1, min(14, (os.cpu_count() or 2) - 1))
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        return sum(pool.map(_compile, jobs))


def _compile(job: Job) -> int:
    """Launch once, on a pair that is left alone; 0 if the blocks are too large for this device."""
    from hobbit_devices.kernels.expert_kernels import ExpertKernels
    from triton.runtime.errors import OutOfResources

    index, plan, experts = job
    case = CASES[index]
    layout = layout_of(case.geometry, case.precision)
    pool = torch.zeros((1, layout.nbytes), dtype=torch.uint8, device=DEVICE)
    x = torch.zeros((1, case.geometry.hidden), dtype=torch.bfloat16, device=DEVICE)
    out = torch.zeros((1, case.geometry.hidden), device=DEVICE)
    slots = torch.full((max(experts, 1),), -1, dtype=torch.int32, device=DEVICE)
    token = torch.zeros(1, dtype=torch.int32, device=DEVICE)
    kernels = ExpertKernels(layout, pool, plan=plan)
    try:
        if experts:
            offsets = torch.ones(experts + 1, dtype=torch.int32, device=DEVICE)
            kernels.run_grouped(x, slots, offsets, token, out, plan)
        else:
            kernels.run(x, slots, token, out)
        torch.cuda.synchronize()
    except OutOfResources:
        return 0
    return 1
