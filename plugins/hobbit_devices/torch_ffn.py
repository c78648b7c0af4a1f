"""One gated expert on the host in torch, from its blob."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch.nn.functional import linear, silu

from hobbit.api import BlobLayout, Quantizer
from hobbit.api.quantizer import NATIVE
from hobbit.blob import BlobField

TILE = 16
"""Rows of x that a product is filled up to: oneDNN's kernel for a tile reads large weights faster than the
one for a single row does (measured: 81 against 58 GB/s on 14 cores with AMX)."""

WIDE = 16 * 2**20
"""Bytes of a matrix from which that pays."""

CUT = 16
"""Units that a part of a native expert begins and ends at."""

Fields = Mapping[tuple[str, str], BlobField]
Maths = Callable[[torch.Tensor, torch.Tensor, slice], torch.Tensor]
"""(x [t, d], blob, units of F) to what those units give [t, d]."""


class TorchFfn:
    """down_proj (silu(gate) * up), (gate, up) the halves of gate_up_proj x, on blobs of one layout.

    Native weights go through torch's linear (oneDNN: AMX or AVX-512 where there is one), int8 through its
    product with packed weights, which reads quanto's rows as they are. Other precisions are decoded first.
    `name` says which. `cut`: units that a part begins and ends at; 0: there are no parts.
    """

    def __init__(self, layout: BlobLayout, quantizer: Quantizer) -> None:
        self._dtype: torch.dtype = getattr(torch, layout.tensors[0][1].dtype)
        fields = {(field.tensor, field.part): field for field in layout.fields}
        self.cut = 0
        self._maths: Maths
        if layout.precision == NATIVE:
            self.name, self.cut, self._maths = "linear", CUT, _native(fields)
        elif _is_int8(fields) and hasattr(torch.ops.aten, "_weight_int8pack_mm"):
            self.name, self._maths = "int8 product", _int8(fields)
        else:
            self.name, self._maths = "decoded weights", _decoded(layout, quantizer)

    def __call__(
        self, x: torch.Tensor, blob: torch.Tensor, out: torch.Tensor, units: tuple[int, int] | None = None
    ) -> None:
        """Fill `out` [t, d] from x [t, d], computed in the model's dtype; `units` as `cut` allows."""
        out.copy_(self._maths(x.to(self._dtype), blob, slice(*units) if units else slice(None)))


def _native(fields: Fields) -> Maths:
    def maths(x: torch.Tensor, blob: torch.Tensor, units: slice) -> torch.Tensor:
        rows, up, down = len(x), fields["gate_up_proj", "data"], fields["down_proj", "data"]
        if down.spec.nbytes >= WIDE and rows < TILE:
            x = torch.cat([x, x.new_zeros(TILE - rows, x.shape[1])])
        if units == slice(None):  # one product: that of two halves may differ in its last bits
            gate, other = linear(x, _view(blob, up)).chunk(2, dim=-1)
        else:
            gate, other = (linear(x, half[units]) for half in _view(blob, up).chunk(2))
        return linear(silu(gate) * other, _view(blob, down)[:, units])[:rows]

    return maths


def _int8(fields: Fields) -> Maths:
    product = torch.ops.aten._weight_int8pack_mm

    def multiply(x: torch.Tensor, blob: torch.Tensor, tensor: str) -> torch.Tensor:
        data, scale = (_view(blob, fields[tensor, part]) for part in ("data", "scale"))
        out: torch.Tensor = product(x, data, scale.view(-1))
        return out

    def maths(x: torch.Tensor, blob: torch.Tensor, units: slice) -> torch.Tensor:
        gate, up = multiply(x, blob, "gate_up_proj").chunk(2, dim=-1)
        return multiply(silu(gate) * up, blob, "down_proj")

    return maths


def _decoded(layout: BlobLayout, quantizer: Quantizer) -> Maths:
    def maths(x: torch.Tensor, blob: torch.Tensor, units: slice) -> torch.Tensor:
        tensors = quantizer.decode(blob, layout)
        gate, up = linear(x, tensors["gate_up_proj"]).chunk(2, dim=-1)
        return linear(silu(gate) * up, tensors["down_proj"])

    return maths


def _is_int8(fields: Fields) -> bool:
    """Whether both matrices are int8 with a scale a row."""
    names = {name for name, _ in fields}
    return all(
        (name, "scale") in fields
        and fields[name, "data"].spec.dtype == "int8"
        and fields[name, "scale"].spec.shape == (fields[name, "data"].spec.shape[0], 1)
        for name in names
    )


def _view(blob: torch.Tensor, field: BlobField) -> torch.Tensor:
    """The bytes of one field, shaped and typed; no copy."""
    flat = blob[field.offset : field.offset + field.spec.nbytes]
    dtype: torch.dtype = getattr(torch, field.spec.dtype)
    return flat.view(dtype).view(field.spec.shape)
