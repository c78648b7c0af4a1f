"""TensorFile: one safetensors file, read with plain reads.

Not mapped into memory: a disk that fails under a mapping kills the process, under a read it is an error, and
only what is asked for passes through the page cache.
"""

from __future__ import annotations

import json
import os
import struct
from dataclasses import dataclass
from math import prod
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open

from hobbit.errors import ModelError, first_line

DTYPES = {
    "BOOL": torch.bool, "U8": torch.uint8, "I8": torch.int8, "I16": torch.int16, "I32": torch.int32,
    "I64": torch.int64, "F16": torch.float16, "BF16": torch.bfloat16, "F32": torch.float32,
    "F64": torch.float64, "F8_E4M3": torch.float8_e4m3fn, "F8_E5M2": torch.float8_e5m2,
    "F8_E8M0": torch.float8_e8m0fnu,
}  # fmt: skip
"""What safetensors calls a dtype, and what torch does."""

_MOST = 2**30
"""Bytes asked of one read; Linux gives at most 2 GiB at once."""


@dataclass(frozen=True, slots=True)
class Stored:
    """A tensor in a file: `start` is its first byte there."""

    shape: tuple[int, ...]
    dtype: torch.dtype
    start: int

    @property
    def nbytes(self) -> int:
        """Bytes of the whole tensor."""
        return prod(self.shape) * self.dtype.itemsize


class TensorFile:
    """The tensors of `path` by name. `drop` tells the system to forget the pages once they are read.

    Raises:
        ModelError: if the file is missing, cut short or no safetensors.
    """

    def __init__(self, path: Path, drop: bool = False) -> None:
        self.path, self._drop = path, drop
        try:
            with safe_open(path, framework="pt"):  # checks the header and that all its bytes are there
                pass
            self._handle = os.open(path, os.O_RDONLY)
        except (SafetensorError, OSError) as error:
            raise ModelError(f"{path.name} is not readable safetensors ({first_line(error)})") from None
        self.tensors = self._header()

    def read(self, name: str, row: int | None = None) -> torch.Tensor:
        """The tensor, or of a stack of them the one at `row`, still with a first dimension of 1.

        Raises:
            ModelError: if the disk fails or the file has been cut short.
        """
        stored = self.tensors[name]
        shape, start = stored.shape, stored.start
        if row is not None:
            shape = (1, *shape[1:])
            start += row * prod(shape) * stored.dtype.itemsize
        tensor = torch.empty(shape, dtype=stored.dtype)
        nbytes = tensor.numel() * tensor.itemsize
        if nbytes:
            self._fill(tensor.flatten().view(torch.uint8).numpy().data, start)
        if self._drop and hasattr(os, "posix_fadvise"):
            os.posix_fadvise(self._handle, start, nbytes, os.POSIX_FADV_DONTNEED)
        return tensor

    def close(self) -> None:
        """Close the file; reading from it is over."""
        os.close(self._handle)

    def _header(self) -> dict[str, Stored]:
        size = struct.unpack("<Q", os.pread(self._handle, 8, 0))[0]
        header = json.loads(os.pread(self._handle, size, 8))
        header.pop("__metadata__", None)
        unknown = {entry["dtype"] for entry in header.values()} - DTYPES.keys()
        if unknown:
            raise ModelError(
                f"{self.path.name} holds tensors of dtype {sorted(unknown)[0]}, which nobody reads"
            )
        return {
            name: Stored(tuple(entry["shape"]), DTYPES[entry["dtype"]], 8 + size + entry["data_offsets"][0])
            for name, entry in header.items()
        }

    def _fill(self, buffer: memoryview, start: int) -> None:
        done = 0
        while done < len(buffer):
            try:
                count = os.preadv(self._handle, [buffer[done : done + _MOST]], start + done)
            except OSError as error:
                raise ModelError(f"{self.path} cannot be read: {error.strerror}") from None
            if not count:
                raise ModelError(f"{self.path} ends before its tensors do; copy it again")
            done += count
