"""A format: how one tensor becomes the parts of a blob, and back. Formats know nothing of blobs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from hobbit.blob import TensorSpec

if TYPE_CHECKING:
    import torch


class Format(Protocol):
    """One way to store a tensor. `parts` needs no torch; `encode` gives just those parts, in order."""

    def parts(self, spec: TensorSpec) -> tuple[tuple[str, TensorSpec], ...]:
        """Name, shape and dtype of each part of a tensor of `spec`; ConfigError if the shape does not fit."""
        ...

    def encode(self, weights: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """The parts of `weights`, shaped as `parts` says."""
        ...

    def decode(self, parts: Sequence[torch.Tensor], spec: TensorSpec) -> torch.Tensor:
        """The tensor again, in the shape and dtype of `spec`."""
        ...


class NativeFormat:
    """The tensor itself, untouched."""

    def parts(self, spec: TensorSpec) -> tuple[tuple[str, TensorSpec], ...]:
        """One part: the data."""
        return (("data", spec),)

    def encode(self, weights: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """The tensor."""
        return (weights,)

    def decode(self, parts: Sequence[torch.Tensor], spec: TensorSpec) -> torch.Tensor:
        """The view of the data, without a copy."""
        return parts[0]
