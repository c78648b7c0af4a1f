"""The layout of a blob: all tensors of one expert at one precision, in one contiguous run of bytes."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

ALIGNMENT = 64
"""Bytes. Every blob and every tensor in it starts on this boundary: misaligned views change fp32 results."""

PAGE = 4096
"""Bytes. Where blobs start in a file, and in memory that a disk fills directly."""

ITEM_BYTES = {"float32": 4, "float16": 2, "bfloat16": 2, "int32": 4, "int8": 1, "uint8": 1}
"""Size in bytes of the dtypes that a blob may hold, by their torch name."""

WEIGHT_DTYPES = ("float32", "float16", "bfloat16")
"""Those that a model may compute with; the others are parts of encoded weights."""


def align(offset: int) -> int:
    """The next multiple of ALIGNMENT at or above `offset`."""
    return -(-offset // ALIGNMENT) * ALIGNMENT


def stride_of(nbytes: int) -> int:
    """Bytes from the start of one blob of `nbytes` to the next, on a disk: the next multiple of PAGE."""
    return -(-nbytes // PAGE) * PAGE


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """Name-free description of a tensor: its shape and its dtype's torch name ("bfloat16")."""

    shape: tuple[int, ...]
    dtype: str

    @property
    def nbytes(self) -> int:
        """Bytes of the data, without padding."""
        return prod(self.shape) * ITEM_BYTES[self.dtype]


@dataclass(frozen=True, slots=True)
class BlobField:
    """One part of one tensor in a blob: `tensor` as the model names it, `part` ("data", "scale", "shift")."""

    tensor: str
    part: str
    spec: TensorSpec
    offset: int


@dataclass(frozen=True, slots=True)
class BlobLayout:
    """Where everything lies in the blob of an expert at `precision`; `tensors` are the decoded shapes."""

    precision: str
    tensors: tuple[tuple[str, TensorSpec], ...]
    fields: tuple[BlobField, ...]
    nbytes: int

    @staticmethod
    def pack(
        precision: str,
        tensors: tuple[tuple[str, TensorSpec], ...],
        parts: tuple[tuple[str, str, TensorSpec], ...],
    ) -> BlobLayout:
        """Lay out `parts` (tensor, part, spec) one after another, each aligned; nbytes is aligned too."""
        fields = []
        offset = 0
        for tensor, part, spec in parts:
            fields.append(BlobField(tensor, part, spec, offset))
            offset = align(offset + spec.nbytes)
        return BlobLayout(precision, tensors, tuple(fields), offset)
