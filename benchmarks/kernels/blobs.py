"""Slots full of random experts, made where they are used: no checkpoint, no quantization library."""

from __future__ import annotations

import torch
from hobbit_quantizers.quanto import QuantoQuantizer

from hobbit.api import BlobField, BlobLayout, Context, Geometry, Records

PRECISIONS = ("native", "int8", "int4", "int2")


def layout_of(geometry: Geometry, precision: str, group_size: int = 64) -> BlobLayout:
    """The layout of one expert's blob, as quantizer=quanto lays it out."""
    context = Context(geometry, (precision,), (1,), Records(geometry.shape))
    quantizer = QuantoQuantizer(group_size=group_size).build(context)
    return quantizer.layout(geometry.expert_tensors(), precision)


def random_slots(layout: BlobLayout, slots: int, seed: int, device: str | torch.device) -> torch.Tensor:
    """A pool uint8 [slots, nbytes] of valid blobs, every weight about N(0, 0.05) or uniform to match.

    Padding is 0xFF, which reads as NaN: whoever reads past a part finds out.
    """
    generator = torch.Generator(device).manual_seed(seed)
    pool = torch.full((slots, layout.nbytes), 255, dtype=torch.uint8, device=device)
    for slot in range(slots):
        scales: dict[str, torch.Tensor] = {}
        # Shifts need the scales of their tensor, which lie before them.
        for field in layout.fields:
            part = _random_part(field, layout, scales, generator)
            flat = part.contiguous().view(-1).view(torch.uint8)
            pool[slot, field.offset : field.offset + field.spec.nbytes] = flat
    return pool


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
