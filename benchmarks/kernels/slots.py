"""A pool of more than L2 can hold, and the calls that go through it."""

from __future__ import annotations

import torch
from hobbit_devices.kernels.configs import Plan
from hobbit_devices.kernels.expert_kernels import ExpertKernels
from hobbit_devices.kernels.reference import ReferenceKernels

from benchmarks.kernels.blobs import layout_of, random_slots
from benchmarks.kernels.cases import DEVICE, Case

COLD_BYTES = 2.2e9
"""Bytes of slots to rotate over."""

UNIQUE = 16
"""Slots that are drawn; the others are copies of them at other addresses."""


class Bench:
    """One case on the device: its kernels, its slots, and activations."""

    def __init__(self, case: Case) -> None:
        self.case = case
        geometry = case.geometry
        self.layout = layout_of(geometry, case.precision)
        per_call = geometry.top_k
        rounds = max(3, -(-int(COLD_BYTES) // (self.layout.nbytes * per_call)))
        self.rounds = rounds
        slots = max(rounds * per_call, geometry.experts)
        drawn = random_slots(self.layout, min(slots, UNIQUE), seed=1, device=DEVICE)
        self.pool = torch.empty((slots, self.layout.nbytes), dtype=torch.uint8, device=DEVICE)
        for slot in range(slots):
            self.pool[slot] = drawn[slot % len(drawn)]
        self.kernels = ExpertKernels(self.layout, self.pool)
        self.exact = ReferenceKernels(self.layout, self.pool, compute=torch.float64)
        self.slots = torch.arange(rounds * per_call, dtype=torch.int32, device=DEVICE).view(rounds, per_call)
        self.tokens = torch.zeros(per_call, dtype=torch.int32, device=DEVICE)
        self.out = torch.empty((per_call, geometry.hidden), device=DEVICE)
        self.h = torch.randn((per_call, geometry.ffn), device=DEVICE).bfloat16()
        self.final = torch.empty((1, geometry.hidden), dtype=torch.bfloat16, device=DEVICE)
        self.weights = torch.rand((1, per_call), device=DEVICE)
        self.chosen = torch.randperm(geometry.experts, device=DEVICE)[None, :per_call].contiguous()
        self.rows = torch.arange(per_call, dtype=torch.int32, device=DEVICE)[None]

    def planned(self, plan: Plan) -> ExpertKernels:
        """The same kernels in other blocks."""
        return ExpertKernels(self.layout, self.pool, plan=plan)

    @property
    def call_bytes(self) -> int:
        """Bytes of weights that one batch-1 call reads."""
        return self.case.geometry.top_k * self.layout.nbytes

    def states(self, tokens: int, seed: int = 0) -> torch.Tensor:
        """x [tokens, d]."""
        generator = torch.Generator(DEVICE).manual_seed(seed)
        hidden = self.case.geometry.hidden
        return torch.randn((tokens, hidden), generator=generator, device=DEVICE).bfloat16()

    def grouped(self, tokens: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Slots [n], offsets [n + 1] and tokens [P] of uniform routing over the geometry's experts."""
        geometry = self.case.geometry
        generator = torch.Generator().manual_seed(seed)
        scores = torch.rand((tokens, geometry.experts), generator=generator)
        chosen = scores.topk(geometry.top_k, dim=1).indices.flatten()
        order = chosen.argsort(stable=True)
        counts = torch.bincount(chosen, minlength=geometry.experts)
        experts = counts.nonzero()[:, 0]
        offsets = torch.cat([torch.zeros(1, dtype=torch.int64), counts[experts].cumsum(0)])
        parts = (experts, offsets, order // geometry.top_k)
        slots, bounds, sorted_tokens = (part.int().to(DEVICE) for part in parts)
        return slots, bounds, sorted_tokens
