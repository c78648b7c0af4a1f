"""Writing safetensors files tensor by tensor: the library's own writer wants all of a file in memory."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from math import prod
from pathlib import Path
from typing import NamedTuple

import torch
from xxhash import xxh3_64

from hobbit.files import whole_file

FILE_BYTES = 4 * 2**30
"""Bytes that a file of tensors is split at."""

_NAMES = {
    torch.bool: "BOOL", torch.uint8: "U8", torch.int8: "I8", torch.int16: "I16", torch.int32: "I32",
    torch.int64: "I64", torch.float16: "F16", torch.bfloat16: "BF16", torch.float32: "F32",
    torch.float64: "F64",
}  # fmt: skip


class Planned(NamedTuple):
    """A tensor that is to come."""

    name: str
    shape: tuple[int, ...]
    dtype: torch.dtype

    @property
    def nbytes(self) -> int:
        """Bytes of its data."""
        return prod(self.shape) * self.dtype.itemsize


def split(tensors: Iterable[Planned], most: int = FILE_BYTES) -> list[list[Planned]]:
    """`tensors` in files of at most `most` bytes each, but for one tensor that is larger."""
    files: list[list[Planned]] = []
    room = 0
    for tensor in tensors:
        if not files or tensor.nbytes > room:
            files.append([])
            room = most
        files[-1].append(tensor)
        room -= tensor.nbytes
    return files


def header_of(tensors: Sequence[Planned]) -> bytes:
    """The start of a safetensors file with `tensors` in this order: a length, then JSON padded to 8 bytes."""
    entries: dict[str, object] = {"__metadata__": {"format": "pt"}}
    start = 0
    for tensor in tensors:
        offsets = [start, start + tensor.nbytes]
        entries[tensor.name] = {
            "dtype": _NAMES[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": offsets,
        }
        start += tensor.nbytes
    text = json.dumps(entries, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


def write_tensors(path: Path, planned: Sequence[Planned], tensors: Iterator[torch.Tensor]) -> int:
    """Write a safetensors file of the next of `tensors`, as `planned`; its xxh3_64. Raises OSError."""
    digest = xxh3_64()
    with whole_file(path, durable=True) as file:
        for data in _pieces(planned, tensors):
            digest.update(data)
            file.write(data)
    return digest.intdigest()


def _pieces(planned: Sequence[Planned], tensors: Iterator[torch.Tensor]) -> Iterator[bytes | memoryview]:
    yield header_of(planned)
    for expected in planned:
        tensor = next(tensors)
        if (tuple(tensor.shape), tensor.dtype) != (expected.shape, expected.dtype):
            raise ValueError(f"{expected.name} is {tensor.dtype} {list(tensor.shape)}, not as planned")
        yield tensor.contiguous().flatten().view(torch.uint8).numpy().data
