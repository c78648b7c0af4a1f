"""Slots full of random experts, made where they are used: no checkpoint, no quantization library."""

from __future__ import annotations

import torch
from hobbit_quantizers.lossless12 import Lossless12Format
from hobbit_quantizers.quanto import QuantoQuantizer

from hobbit.api import BlobField, BlobLayout, Context, Geometry, Quantizer, Records, TensorSpec

PRECISIONS = ("native", "int8", "int4", "int2")
"""Those that there are for weights of any dtype; lossless12 is for bfloat16 alone."""


def quantizer_of(geometry: Geometry, precision: str, group_size: int = 64) -> Quantizer:
    """quantizer=quanto for these blobs."""
    context = Context(geometry, (precision,), (1,), Records(geometry.shape))
    return QuantoQuantizer(group_size=group_size).build(context)


def layout_of(geometry: Geometry, precision: str, group_size: int = 64) -> BlobLayout:
    """The layout of one expert's blob, as quantizer=quanto lays it out."""
    return quantizer_of(geometry, precision, group_size).layout(geometry.expert_tensors(), precision)


def random_slots(layout: BlobLayout, slots: int, seed: int, device: str | torch.device) -> torch.Tensor:
    """A pool uint8 [slots, nbytes] of valid blobs, every weight about N(0, 0.05) or uniform to match.

    Those of lossless12 have been encoded, zeros and strays among them. Padding is 0xFF, which reads as NaN:
    whoever reads past a part finds out.
    """
    generator = torch.Generator(device).manual_seed(seed)
    pool = torch.full((slots, layout.nbytes), 255, dtype=torch.uint8, device=device)
    for slot in range(slots):
        if layout.precision == "lossless12":
            _encode(layout, generator, pool[slot])
            continue
        scales: dict[str, torch.Tensor] = {}
        # Shifts need the scales of their tensor, which lie before them.
        for field in layout.fields:
            _put(_random_part(field, layout, scales, generator), field, pool[slot])
    return pool


def _put(part: torch.Tensor, field: BlobField, blob: torch.Tensor) -> None:
    flat = part.contiguous().view(-1).view(torch.uint8)
    blob[field.offset : field.offset + field.spec.nbytes] = flat


def _encode(layout: BlobLayout, generator: torch.Generator, blob: torch.Tensor) -> None:
    fields = iter(layout.fields)
    for _, spec in layout.tensors:
        for part in Lossless12Format().encode(_weights(spec, generator)):
            _put(part, next(fields), blob)


def _weights(spec: TensorSpec, generator: torch.Generator) -> torch.Tensor:
    """N(0, 0.05), but for some zeros of both signs, and a row with more strays than others have."""
    rows, columns = spec.shape
    weights = torch.randn(spec.shape, generator=generator, device=generator.device) * 0.05
    weights.view(-1)[::997] *= 0.0
    weights[rows // 2, :: max(1, columns // 10)] *= 2.0**-20
    return weights.bfloat16()


def _random_part(
    field: BlobField, layout: BlobLayout, scales: dict[str, torch.Tensor], generator: torch.Generator
) -> torch.Tensor:
    shape, dtype, device = field.spec.shape, getattr(torch, field.spec.dtype), generator.device
    if field.part == "data" and field.spec.dtype == "uint8":
        return torch.randint(0, 256, shape, generator=generator, dtype=dtype, device=device)
    if field.part == "data" and field.spec.dtype == "int8":
        return torch.randint(-127, 128, shape, generator=generator, dtype=dtype, device=device)
    if field.part == "data":
        return (torch.randn(shape, generator=generator, device=device) * 0.05).to(dtype)
    steps = {"int8": 127, "int4": 7.5, "int2": 1.5}[layout.precision]
    spread = 0.5 + torch.rand(shape, generator=generator, device=device)
    if field.part == "scale":
        scales[field.tensor] = spread * 0.087 / steps
        return scales[field.tensor].to(dtype)
    return (scales[field.tensor] * steps * (0.75 + spread / 4)).to(dtype)
