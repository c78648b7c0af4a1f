"""BundleLevel: the blobs of all experts at one precision, and where they lie."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hobbit.blob import PAGE, BlobLayout, stride_of

__all__ = ["PAGE", "BlobFile", "BundleLevel", "stride_of"]


@dataclass(frozen=True, slots=True)
class BlobFile:
    """A file of `rows` blobs, the first of them row `first` of its level. `name` is relative, with "/"."""

    name: str
    first: int
    rows: int


@dataclass(frozen=True, slots=True)
class BundleLevel:
    """L x E blobs laid out as `layout`; row layer * E + expert, `stride` bytes from row to row.

    `quantizer` and its `options` made the blobs and decode them. `files` hold the rows in order, without a
    gap; `checksums[row]` is xxh3_64 of a blob's `layout.nbytes` bytes, the padding to the stride left out.
    """

    layout: BlobLayout
    quantizer: str
    options: Mapping[str, Any]
    stride: int
    files: tuple[BlobFile, ...]
    checksums: tuple[int, ...]

    @property
    def precision(self) -> str:
        """The precision's name; "native" is the checkpoint's own dtype."""
        return self.layout.precision

    @property
    def nbytes(self) -> int:
        """Bytes of one blob."""
        return self.layout.nbytes

    def place(self, row: int) -> tuple[BlobFile, int]:
        """The file that holds `row`, and the byte where its blob starts there."""
        starts = [file.first for file in self.files]
        file = self.files[bisect_right(starts, row) - 1]
        return file, (row - file.first) * self.stride
