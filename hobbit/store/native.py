"""Experts in the checkpoint's own dtype, out of any store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from hobbit.api import BlobLayout, ExpertKey, ExpertSource
from hobbit.api.quantizer import NATIVE


def native_tensors(
    source: ExpertSource, layouts: Sequence[BlobLayout], layer: int, expert: int
) -> Mapping[str, torch.Tensor] | None:
    """One expert bit for bit as the checkpoint has it, copied; None if none of the levels is native."""
    for level, layout in enumerate(layouts):
        if layout.precision == NATIVE:
            key = ExpertKey(layer, expert, level)
            blob = source.blob(key)
            try:
                blob = blob.clone()
            finally:
                source.release(key)
            return {
                field.tensor: blob[field.offset : field.offset + field.spec.nbytes]
                .view(getattr(torch, field.spec.dtype))
                .view(field.spec.shape)
                for field in layout.fields
            }
    return None
