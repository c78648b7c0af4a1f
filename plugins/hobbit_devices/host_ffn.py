"""One gated expert on the host, from its blob, without a decoded copy of the whole."""

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

Product = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""(x [t, columns], blob) to x W^T [t, rows]."""


class HostFfn:
    """down_proj (silu(gate) * up), (gate, up) the halves of gate_up_proj x, on blobs of one layout.

    Native weights go through torch's linear (oneDNN: AMX or AVX-512 where there is one), int8 through its
    product with packed weights, which reads quanto's rows as they are. Other precisions are decoded first.
    `name` says which.
    """

    def __init__(self, layout: BlobLayout, quantizer: Quantizer) -> None:
        self._layout = layout
        self._quantizer = quantizer
        parts = {(field.tensor, field.part): field for field in layout.fields}
        self.name = "decoded weights"
        self._products: tuple[Product, Product] | None = None
        if layout.precision == NATIVE:
            self.name = "linear"
            self._products = (_native(parts, "gate_up_proj"), _native(parts, "down_proj"))
        elif _is_int8(parts) and hasattr(torch.ops.aten, "_weight_int8pack_mm"):
            self.name = "int8 product"
            self._products = (_int8(parts, "gate_up_proj"), _int8(parts, "down_proj"))

    def __call__(self, x: torch.Tensor, blob: torch.Tensor) -> torch.Tensor:
        """The expert's output [t, d] for x [t, d], in x's dtype."""
        if self._products is None:
            tensors = self._quantizer.decode(blob, self._layout)
            gate, up = linear(x, tensors["gate_up_proj"]).chunk(2, dim=-1)
            return linear(silu(gate) * up, tensors["down_proj"])
        first, second = self._products
        gate, up = first(x, blob).chunk(2, dim=-1)
        return second(silu(gate) * up, blob)


def _native(parts: Mapping[tuple[str, str], BlobField], tensor: str) -> Product:
    field = parts[tensor, "data"]
    wide = field.spec.nbytes >= WIDE

    def multiply(x: torch.Tensor, blob: torch.Tensor) -> torch.Tensor:
        rows = len(x)
        if wide and rows < TILE:
            x = torch.cat([x, x.new_zeros(TILE - rows, x.shape[1])])
        return linear(x, _view(blob, field))[:rows]

    return multiply


def _int8(parts: Mapping[tuple[str, str], BlobField], tensor: str) -> Product:
    data, scale = parts[tensor, "data"], parts[tensor, "scale"]
    product = torch.ops.aten._weight_int8pack_mm

    def multiply(x: torch.Tensor, blob: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = product(x, _view(blob, data), _view(blob, scale).view(-1))
        return out

    return multiply


def _is_int8(parts: Mapping[tuple[str, str], BlobField]) -> bool:
    """Whether both matrices are int8 with a scale a row."""
    names = {name for name, _ in parts}
    return all(
        (name, "scale") in parts
        and parts[name, "data"].spec.dtype == "int8"
        and parts[name, "scale"].spec.shape == (parts[name, "data"].spec.shape[0], 1)
        for name in names
    )


def _view(blob: torch.Tensor, field: BlobField) -> torch.Tensor:
    """The bytes of one field, shaped and typed; no copy."""
    flat = blob[field.offset : field.offset + field.spec.nbytes]
    dtype: torch.dtype = getattr(torch, field.spec.dtype)
    return flat.view(dtype).view(field.spec.shape)
