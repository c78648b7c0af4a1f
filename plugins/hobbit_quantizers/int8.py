"""int8 with one scale per output channel: optimum-quanto's qint8."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from hobbit.blob import TensorSpec
from hobbit_quantizers.chunks import chunks

if TYPE_CHECKING:
    import torch


class Int8Format:
    """w ~ scale * data, scale = max|w| / 127 over a row (quanto's AbsmaxOptimizer, symmetric).

    Parts of a [rows, columns] matrix: `data` int8 [rows, columns], `scale` [rows, 1] in the matrix's dtype.
    """

    def parts(self, spec: TensorSpec) -> tuple[tuple[str, TensorSpec], ...]:
        """Data and scale."""
        return (
            ("data", TensorSpec(spec.shape, "int8")),
            ("scale", TensorSpec((spec.shape[0], 1), spec.dtype)),
        )

    def encode(self, weights: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Scale search and rounding in float32, against the scale as it will be stored."""
        import torch
        from optimum.quanto import AbsmaxOptimizer, qint8

        data = torch.empty(weights.shape, dtype=torch.int8, device=weights.device)
        scale = weights.new_empty((len(weights), 1))
        for part in chunks(weights):
            base = weights[part].to(torch.float32, copy=True)
            # A row of zeros would divide zero by zero.
            scale[part] = AbsmaxOptimizer()(base, qint8, axis=0)
            wide = scale[part].clamp_(min=torch.finfo(weights.dtype).tiny).float()
            # quanto's quantize_symmetric, in place: a fresh tensor a step takes longer than the step.
            data[part] = base.div_(wide).round_().clamp_(-128, 127)
        return data, scale

    def decode(self, parts: Sequence[torch.Tensor], spec: TensorSpec) -> torch.Tensor:
        """scale * data, rounded once to the scale's dtype, as quanto's QBytesTensor.dequantize."""
        data, scale = parts
        return data.to(scale.dtype).mul_(scale)  # 8 bits are exact in every 16-bit dtype
