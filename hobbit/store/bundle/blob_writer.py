"""BlobWriter: the files of one level, written row by row."""

from __future__ import annotations

import os
from errno import ENOSPC
from pathlib import Path

import torch
from xxhash import xxh3_64_intdigest

from hobbit.store.bundle.level import BlobFile, stride_of

FOLDER = "experts"
FILE_BYTES = 4 * 2**30
"""Bytes that a file of blobs is split at."""


def blob_files(precision: str, rows: int, nbytes: int, most: int = FILE_BYTES) -> tuple[BlobFile, ...]:
    """The files of `rows` blobs of `nbytes`, of at most `most` bytes each but for one blob that is larger."""
    step = max(1, most // stride_of(nbytes))
    return tuple(
        BlobFile(f"{FOLDER}/{precision}-{number:05d}.bin", first, min(step, rows - first))
        for number, first in enumerate(range(0, rows, step))
    )


class BlobWriter:
    """Writes and reads back the rows of a level laid out in `files` under `folder`. Raises OSError."""

    def __init__(self, folder: Path, files: tuple[BlobFile, ...], nbytes: int) -> None:
        self._folder, self._files, self._nbytes = folder, files, nbytes
        self._stride = stride_of(nbytes)
        self._padding = bytes(self._stride - nbytes)
        self._file: BlobFile | None = None
        self._handle = -1
        self._synced = 0

    def write(self, row: int, blob: torch.Tensor) -> None:
        """Write `blob`, uint8 [nbytes], and its padding as row `row`."""
        file = self._open(row)
        parts = [blob.numpy().data, memoryview(self._padding)]
        start = (row - file.first) * self._stride
        while any(len(part) for part in parts):
            count = os.pwritev(self._handle, parts, start)
            if not count:
                raise OSError(ENOSPC, os.strerror(ENOSPC))
            start += count
            parts = _after(parts, count)

    def checksum(self, row: int) -> int | None:
        """xxh3_64 of the blob that lies in the file as row `row`; None if it is not all there."""
        file = self._open(row)
        blob = os.pread(self._handle, self._nbytes, (row - file.first) * self._stride)
        return xxh3_64_intdigest(blob) if len(blob) == self._nbytes else None

    def sync(self) -> None:
        """Have what was written on the disk, and let the system forget its pages."""
        if self._handle < 0:
            return
        _flush(self._handle)
        if hasattr(os, "posix_fadvise"):
            size = os.fstat(self._handle).st_size
            os.posix_fadvise(self._handle, self._synced, size - self._synced, os.POSIX_FADV_DONTNEED)
            self._synced = size

    def close(self) -> None:
        """Close the file."""
        if self._handle >= 0:
            os.close(self._handle)
        self._file, self._handle, self._synced = None, -1, 0

    def _open(self, row: int) -> BlobFile:
        file = self._file
        if file is None or not file.first <= row < file.first + file.rows:
            self.sync()
            self.close()
            file = next(held for held in self._files if held.first <= row < held.first + held.rows)
            self._handle = os.open(self._folder / file.name, os.O_RDWR | os.O_CREAT, 0o644)
            self._file = file
        return file


_flush = getattr(os, "fdatasync", os.fsync)


def _after(parts: list[memoryview], count: int) -> list[memoryview]:
    """What is left of `parts` once `count` bytes are written."""
    left = []
    for part in parts:
        left.append(part[count:])
        count = max(0, count - len(part))
    return left
