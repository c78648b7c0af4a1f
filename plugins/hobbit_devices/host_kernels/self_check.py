"""A look at whether a compiled library computes what it should."""

from __future__ import annotations

from itertools import product

import torch
from torch.nn.functional import linear, silu

from hobbit.errors import DeviceError
from hobbit_devices.host_kernels.compiled_ffn import CompiledFfn
from hobbit_devices.host_kernels.host_kernels import DTYPES, HostKernels
from hobbit_devices.host_kernels.random_expert import HIDDEN, random_expert
from hobbit_devices.kernels.formats import LOSSLESS12_BITS
from hobbit_devices.kernels.reference import decode

TOKENS = 5

TOLERANCE = 1e-4
"""Of the largest output: float32 sums of so few numbers differ by far less, wrong ones by far more."""


def check(kernels: HostKernels) -> None:
    """Raises DeviceError if an expert of any format comes out wrong."""
    for bits, dtype in (*product((0, 8, 4, 2), DTYPES), (LOSSLESS12_BITS, "bfloat16")):
        format, blob = random_expert(bits, getattr(torch, dtype))
        x = torch.linspace(-1, 1, TOKENS * HIDDEN).view(TOKENS, HIDDEN)
        found = torch.full_like(x, torch.nan)
        CompiledFfn(kernels, format)(x, blob, found)
        up, down = (decode(blob, m, getattr(torch, dtype), torch.float64) for m in (format.up, format.down))
        gate, other = linear(x.double(), up).chunk(2, dim=-1)
        exact = linear(silu(gate) * other, down)
        if not (found - exact).abs().max() <= TOLERANCE * exact.abs().max():
            raise DeviceError(f"the compiled library gives wrong results for {format.name} of {dtype}")
