"""Journal: which experts a bundle under way holds already, with their checksums. It outlives a kill."""

from __future__ import annotations

import os
from errno import ENOSPC
from pathlib import Path

SYNCED = "synced"
_DIGITS_AND_ONE = 17
"""Bytes of a checksum in a line: 64 bits in hex, and what parts it from the next."""


class Journal:
    """Lines of checksums, one a row in order, and marks up to where the blobs are known to be on the disk.

    A line is written after the blobs it speaks of. `rows[r]` are the checksums of row r, one a level;
    `synced` counts the rows that survive even a loss of power. Raises OSError; use `close`.
    """

    def __init__(self, path: Path, levels: int) -> None:
        self.rows: list[tuple[int, ...]] = []
        self.synced = 0
        self._levels = levels
        self._handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        self._keep(self._read())

    def add(self, checksums: tuple[int, ...]) -> None:
        """One more row is written."""
        self._write(" ".join(f"{checksum:016x}" for checksum in checksums))
        self.rows.append(checksums)

    def mark_synced(self) -> None:
        """All rows so far are on the disk."""
        self._write(SYNCED)
        os.fsync(self._handle)
        self.synced = len(self.rows)

    def cut(self, rows: int) -> None:
        """Forget the rows from `rows` on, none of which may be synced."""
        lines = len(self.rows) - rows
        self._keep(os.fstat(self._handle).st_size - lines * _DIGITS_AND_ONE * self._levels)
        del self.rows[rows:]

    def close(self) -> None:
        """Close the file."""
        os.close(self._handle)

    def _read(self) -> int:
        """Take in what the file says; the bytes of its whole, sound lines."""
        size = os.fstat(self._handle).st_size
        kept = 0
        for line in os.pread(self._handle, size, 0).split(b"\n")[:-1]:  # the last one may be torn
            words = line.decode(errors="replace").split()
            if words == [SYNCED]:
                self.synced = len(self.rows)
            elif len(words) == self._levels and all(_is_checksum(word) for word in words):
                self.rows.append(tuple(int(word, 16) for word in words))
            else:
                break
            kept += len(line) + 1
        return kept

    def _keep(self, nbytes: int) -> None:
        os.ftruncate(self._handle, nbytes)
        os.lseek(self._handle, 0, os.SEEK_END)

    def _write(self, line: str) -> None:
        data = line.encode() + b"\n"
        if os.write(self._handle, data) != len(data):
            raise OSError(ENOSPC, os.strerror(ENOSPC))  # a short write to a file means that the disk is full


def _is_checksum(word: str) -> bool:
    return len(word) == _DIGITS_AND_ONE - 1 and all(letter in "0123456789abcdef" for letter in word)
