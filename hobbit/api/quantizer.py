"""Seam: how an expert is encoded at a precision."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

from hobbit.blob import BlobLayout, TensorSpec

if TYPE_CHECKING:
    import torch

NATIVE = "native"
"""The precision name of the checkpoint's own dtype: stored untouched, hence lossless."""

LOSSLESS12 = "lossless12"
"""The precision name of bfloat16 in 12 bits."""

LOSSLESS = (NATIVE, LOSSLESS12)
"""Precisions whose blobs decode to the checkpoint's own weights, bit for bit."""


def same_weights(one: str, other: str) -> bool:
    """Whether blobs of both precisions decode to the same weights."""
    return one == other or (one in LOSSLESS and other in LOSSLESS)


class Quantizer(Protocol):
    """Encodes experts to blobs and back. `layout` needs no torch, so budgets and replays need none."""

    def layout(self, tensors: Mapping[str, TensorSpec], precision: str) -> BlobLayout:
        """The blob that `tensors` (in the order given) make at `precision`.

        Raises:
            ConfigError: if the precision is unknown to this quantizer or does not fit the shapes.
        """
        ...

    def encode(self, tensors: Mapping[str, torch.Tensor], precision: str) -> torch.Tensor:
        """Blob of one expert: uint8 [layout.nbytes], on the tensors' device."""
        ...

    def decode(self, blob: torch.Tensor, layout: BlobLayout) -> dict[str, torch.Tensor]:
        """The expert's tensors from `blob` (uint8 [nbytes], any device), in their decoded shape and dtype.

        Native blobs come back as views without a copy, bit for bit what was encoded.
        """
        ...
