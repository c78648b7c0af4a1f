"""An expert as a quantizer stores it, and what it gives exactly."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from hobbit_devices.kernels.formats import ExpertFormat, PackedMatrix
from hobbit_devices.kernels.reference import decode
from hobbit_quantizers.quanto import QuantoQuantizer
from torch.nn.functional import linear, silu

from hobbit.api import BlobLayout, Context, Geometry, Quantizer, Records


@dataclass(frozen=True)
class Stored:
    """One random expert. The bytes between its parts are 0xFF, NaN to whoever reads them."""

    precision: str
    dtype: str = "bfloat16"
    hidden: int = 64
    ffn: int = 96
    group: int = 32

    @cached_property
    def geometry(self) -> Geometry:
        return Geometry(layers=1, experts=1, top_k=1, hidden=self.hidden, ffn=self.ffn, dtype=self.dtype)

    @cached_property
    def quantizer(self) -> Quantizer:
        context = Context(self.geometry, (self.precision,), (1,), Records(self.geometry.shape))
        return QuantoQuantizer(group_size=self.group).build(context)

    @cached_property
    def layout(self) -> BlobLayout:
        return self.quantizer.layout(self.geometry.expert_tensors(), self.precision)

    @cached_property
    def format(self) -> ExpertFormat:
        return ExpertFormat.of(self.layout)

    @cached_property
    def blob(self) -> torch.Tensor:
        generator = torch.Generator().manual_seed(self.hidden + self.ffn)
        tensors = {
            name: (torch.randn(spec.shape, generator=generator) * 0.1).to(getattr(torch, self.dtype))
            for name, spec in self.geometry.expert_tensors().items()
        }
        encoded = self.quantizer.encode(tensors, self.precision)
        blob = torch.full_like(encoded, 255)
        for field in self.layout.fields:
            part = slice(field.offset, field.offset + field.spec.nbytes)
            blob[part] = encoded[part]
        return blob

    def tokens(self, count: int) -> torch.Tensor:
        """x float32 [count, d]."""
        return torch.randn(count, self.hidden, generator=torch.Generator().manual_seed(count))

    def exact(self, x: torch.Tensor, units: tuple[int, int] | None = None) -> torch.Tensor:
        """What the expert, or these units of it, gives for x, in float64."""
        part = slice(*units) if units else slice(None)
        up, down = self._weights(self.format.up), self._weights(self.format.down)
        gate, other = (linear(x.double(), half[part]) for half in up.chunk(2))
        return linear(silu(gate) * other, down[:, part])

    def _weights(self, matrix: PackedMatrix) -> torch.Tensor:
        return decode(self.blob, matrix, getattr(torch, self.dtype), torch.float64)


def error(found: torch.Tensor, exact: torch.Tensor) -> float:
    """|found - exact| / |exact|; NaN if anything was not written."""
    return float((found.double() - exact).norm() / exact.norm())


def unwritten(x: torch.Tensor) -> torch.Tensor:
    """float32 of x's shape, all NaN."""
    return torch.full(x.shape, torch.nan)
