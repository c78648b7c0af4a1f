"""A look at whether a compiled library computes what it should."""

from __future__ import annotations

from itertools import product

import torch
from torch.nn.functional import linear, silu

from hobbit.errors import DeviceError
from hobbit_devices.host_kernels.compiled_ffn import CompiledFfn
from hobbit_devices.host_kernels.host_kernels import DTYPES, HostKernels
from hobbit_devices.kernels.formats import ExpertFormat, PackedMatrix
from hobbit_devices.kernels.reference import decode

TOKENS, HIDDEN, FFN, GROUP = 5, 64, 96, 32

TOLERANCE = 1e-4
"""Of the largest output: float32 sums of so few numbers differ by far less, wrong ones by far more."""


def check(kernels: HostKernels) -> None:
    """Raises DeviceError if an expert of any format comes out wrong."""
    for bits, dtype in product((0, 8, 4, 2), DTYPES):
        format, blob = _random_expert(bits, getattr(torch, dtype))
        x = torch.linspace(-1, 1, TOKENS * HIDDEN).view(TOKENS, HIDDEN)
        found = torch.full_like(x, torch.nan)
        CompiledFfn(kernels, format)(x, blob, found)
        up, down = (decode(blob, m, getattr(torch, dtype), torch.float64) for m in (format.up, format.down))
        gate, other = linear(x.double(), up).chunk(2, dim=-1)
        exact = linear(silu(gate) * other, down)
        if not (found - exact).abs().max() <= TOLERANCE * exact.abs().max():
            raise DeviceError(f"the compiled library gives wrong results for {format.name} of {dtype}")


def _random_expert(bits: int, dtype: torch.dtype) -> tuple[ExpertFormat, torch.Tensor]:
    generator = torch.Generator().manual_seed(bits)
    parts: list[torch.Tensor] = []
    matrices = []
    for rows, columns in ((2 * FFN, HIDDEN), (HIDDEN, FFN)):
        offsets = []
        for count, weights in _counts(bits, rows * columns, rows):
            offsets.append(sum(map(len, parts)))
            if weights and bits:
                parts.append(torch.randint(0, 256, (count,), generator=generator).to(torch.uint8))
            else:
                parts.append((torch.rand(count, generator=generator) - 0.4).to(dtype).view(torch.uint8))
        matrices.append(PackedMatrix(rows, columns, bits, GROUP if bits in (2, 4) else 0, *offsets))
    return ExpertFormat(matrices[0], matrices[1], str(dtype).removeprefix("torch.")), torch.cat(parts)


def _counts(bits: int, values: int, rows: int) -> list[tuple[int, bool]]:
    """Numbers in each part of a matrix, and whether they are the weights."""
    if bits == 0:
        return [(values, True)]
    if bits == 8:
        return [(values, True), (rows, False)]
    return [(values * bits // 8, True), (values // GROUP, False), (values // GROUP, False)]
