"""The kernels' work in plain torch: what they are tested against, and what runs where they cannot."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch.nn.functional import gelu, linear, relu, silu

from hobbit.api import BlobLayout
from hobbit_devices.kernels.formats import LOSSLESS12_BITS, ExpertFormat, PackedMatrix
from hobbit_devices.kernels.support import ACTIVATIONS

_FUNCTIONS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "silu": silu,
    "gelu": gelu,
    "gelu_tanh": lambda gate: gelu(gate, approximate="tanh"),
    "relu": relu,
}


class ReferenceKernels:
    """Meets `ExpertKernels` in torch, on any device. Reads the indices on the host, so it synchronises.

    In `pool` uint8 [S, stride] a blob of `layout` begins each row. `compute` is the dtype of the maths: the
    model's own unless given; float64 gives the exact product of what is stored.
    """

    def __init__(
        self,
        layout: BlobLayout,
        pool: torch.Tensor,
        activation: str = "silu",
        compute: torch.dtype | None = None,
    ) -> None:
        self.format = ExpertFormat.of(layout)
        self.cut = self.format.cut
        self._pool = pool
        self._nbytes = layout.nbytes
        self._act = _FUNCTIONS[ACTIVATIONS[activation]]
        self._dtype: torch.dtype = getattr(torch, self.format.dtype)
        self._compute = compute or self._dtype

    def run(
        self, x: torch.Tensor, slots: torch.Tensor, tokens: torch.Tensor, out: torch.Tensor, first: int = 0
    ) -> None:
        """See `ExpertKernels.run`."""
        for pair, (slot, token) in enumerate(zip(slots.tolist(), tokens.tolist(), strict=True)):
            if slot >= 0:
                out[pair] = self._expert(slot, x[token : token + 1], first)[0]

    def run_grouped(
        self,
        x: torch.Tensor,
        slots: torch.Tensor,
        offsets: torch.Tensor,
        tokens: torch.Tensor,
        out: torch.Tensor,
    ) -> None:
        """See `ExpertKernels.run_grouped`."""
        bounds = offsets.tolist()
        for slot, start, stop in zip(slots.tolist(), bounds[:-1], bounds[1:], strict=True):
            if slot >= 0 and stop > start:
                out[start:stop] = self._expert(slot, x[tokens[start:stop].long()])

    @staticmethod
    def combine(
        out: torch.Tensor,
        weights: torch.Tensor,
        experts: torch.Tensor,
        rows: torch.Tensor,
        final: torch.Tensor,
    ) -> None:
        """See `ExpertKernels.combine`."""
        total = torch.zeros(final.shape, dtype=torch.float32, device=final.device)
        order = experts.argsort(dim=1, stable=True)
        for choice in order.unbind(1):
            picked = choice[:, None]
            row, weight = rows.gather(1, picked), weights.float().gather(1, picked)
            total += torch.where(row < 0, 0, weight * out[row[:, 0].clamp(min=0).long()].float())
        final.copy_(total)

    def _expert(self, slot: int, x: torch.Tensor, first: int = 0) -> torch.Tensor:
        blob = self._blob(slot)
        rows = self._weights(blob, self.format.up).view(2, -1, self.format.hidden)[:, first:].flatten(0, 1)
        gate, up = linear(x.to(self._compute), rows).chunk(2, dim=-1)
        columns = self._weights(blob, self.format.down)[:, first:]
        output: torch.Tensor = linear(self._act(gate) * up, columns)
        return output

    def _blob(self, slot: int) -> torch.Tensor:
        """The blob in a slot, which may be longer than a row of the pool."""
        start = self._pool.storage_offset() + slot * self._pool.stride(0)
        return self._pool.as_strided((self._nbytes,), (1,), start)

    def _weights(self, blob: torch.Tensor, matrix: PackedMatrix) -> torch.Tensor:
        return decode(blob, matrix, self._dtype, self._compute)


def decode(
    blob: torch.Tensor, matrix: PackedMatrix, dtype: torch.dtype, compute: torch.dtype | None = None
) -> torch.Tensor:
    """The matrix [rows, columns], its parts being stored in `dtype`, the model's own.

    Each step is rounded to `compute`, which is `dtype` unless given: then it is what the quantizer decodes.
    """
    rows, columns, compute = matrix.rows, matrix.columns, compute or dtype
    if not matrix.bits:
        return _part(blob, matrix.data, rows * columns, dtype).view(rows, columns).to(compute)
    if matrix.bits == 8:
        data = _part(blob, matrix.data, rows * columns, torch.int8).view(rows, columns)
        return data.to(compute) * _part(blob, matrix.scale, rows, dtype)[:, None].to(compute)
    if matrix.bits == LOSSLESS12_BITS:
        return _unpacked(blob, matrix).to(compute)
    groups = rows * columns // matrix.group
    data = _part(blob, matrix.data, rows * columns // matrix.planes, torch.uint8)
    planes = torch.arange(matrix.planes, dtype=torch.uint8, device=blob.device)[:, None] * matrix.bits
    values = ((data >> planes) & (2**matrix.bits - 1)).view(groups, matrix.group).to(compute)
    scale, shift = (
        _part(blob, at, groups, dtype)[:, None].to(compute) for at in (matrix.scale, matrix.shift)
    )
    weights: torch.Tensor = values * scale - shift
    return weights.view(rows, columns)


def _unpacked(blob: torch.Tensor, matrix: PackedMatrix) -> torch.Tensor:
    """The weights of 12 bits, in bfloat16."""
    rows, columns = matrix.rows, matrix.columns
    data = _part(blob, matrix.data, rows * columns, torch.uint8).view(rows, columns).int()
    packed = _part(blob, matrix.codes, rows * columns // 2, torch.uint8).view(rows, columns // 8, 1, 4).int()
    codes = torch.cat([packed & 15, packed >> 4], 2).view(rows, columns)
    # Sign, exponent and mantissa of a float32, but for the powers of two that a row shares.
    bits = (codes & 8) << 28 | (codes & 7) << 24 | data << 16
    scale = _part(blob, matrix.scale, rows, torch.bfloat16).double()[:, None]
    weights = (bits.view(torch.float32).double() * 2.0**112 * scale).bfloat16()
    starts = _part(blob, matrix.starts, rows + 1, torch.int32)
    strays = _part(blob, matrix.strays, int(starts[-1]), torch.int32)
    row = torch.arange(rows, device=blob.device).repeat_interleave(starts.diff())
    weights[row, strays >> 16 & 0xFFFF] = strays.short().view(torch.bfloat16)
    return weights


def _part(blob: torch.Tensor, offset: int, count: int, dtype: torch.dtype) -> torch.Tensor:
    return blob[offset : offset + count * dtype.itemsize].view(dtype)
