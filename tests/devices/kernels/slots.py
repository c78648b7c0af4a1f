"""Slots to run experts in. Without a GPU, Triton's kernels run in its interpreter, where it is installed."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from typing import Any

import pytest
import torch
from hobbit_devices.kernels.configs import Blocks, Plan
from hobbit_devices.kernels.reference import ReferenceKernels

from benchmarks.kernels.blobs import PRECISIONS, layout_of, random_slots
from hobbit.api import Geometry

ON_GPU = torch.cuda.is_available()
if not ON_GPU:
    os.environ.setdefault("TRITON_INTERPRET", "1")  # read when a kernel is defined
DEVICE = "cuda" if ON_GPU else "cpu"
NEEDS_TRITON = pytest.mark.skipif(find_spec("triton") is None, reason="triton is not installed")
SLOTS = 6

FORMATS = (*PRECISIONS, "lossless12")
"""All that there is in bfloat16."""

TOLERANCE = {"bfloat16": 8e-3, "float16": 1e-3, "float32": 3e-6}
"""Rounding of the hidden activations, and in groups of the weights, to the dtype."""


def formats(*dtypes: str) -> list[tuple[str, str]]:
    """(precision, dtype) of all formats there are in `dtypes`, and lossless12 in its own."""
    return [*((p, dtype) for dtype in dtypes for p in PRECISIONS), ("lossless12", "bfloat16")]


@dataclass
class Experts:
    """A pool of random experts in one format, and the exact result of any call."""

    precision: str
    dtype: str = "bfloat16"
    hidden: int = 128
    ffn: int = 192
    group: int = 64
    activation: str = "silu"

    @cached_property
    def layout(self) -> Any:
        geometry = Geometry(
            layers=1, experts=SLOTS, top_k=2, hidden=self.hidden, ffn=self.ffn, dtype=self.dtype
        )
        return layout_of(geometry, self.precision, self.group)

    @cached_property
    def pool(self) -> torch.Tensor:
        return random_slots(self.layout, SLOTS, seed=3, device=DEVICE)

    @property
    def exact(self) -> ReferenceKernels:
        return ReferenceKernels(self.layout, self.pool, self.activation, compute=torch.float64)

    @property
    def plain(self) -> ReferenceKernels:
        return ReferenceKernels(self.layout, self.pool, self.activation)

    @property
    def triton(self) -> Any:
        """The Triton kernels; in the interpreter, in few large blocks, each of which takes its time."""
        return self.triton_on(self.pool)

    def triton_on(self, pool: torch.Tensor) -> Any:
        """The same on other memory."""
        from hobbit_devices.kernels.expert_kernels import ExpertKernels

        plan = None if ON_GPU else Plan(Blocks(32, 128, 1), Blocks(32, 128, 1))
        return ExpertKernels(self.layout, pool, self.activation, plan)

    def tokens(self, count: int, seed: int = 5) -> torch.Tensor:
        generator = torch.Generator().manual_seed(seed)
        states = torch.randn(count, self.hidden, generator=generator)
        return states.to(getattr(torch, self.dtype)).to(DEVICE)


def indices(*values: int) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.int32, device=DEVICE)


def poisoned(rows: int, columns: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.full((rows, columns), float("nan"), dtype=dtype, device=DEVICE)


def error(found: torch.Tensor, exact: torch.Tensor) -> float:
    """|found - exact| / |exact|; NaN if anything was not written."""
    return float((found.double() - exact.double()).norm() / exact.double().norm())
