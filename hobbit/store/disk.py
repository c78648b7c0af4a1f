"""BlobDisk: the blobs of a bundle, read from its files by several threads and checked as they come."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path
from threading import Lock
from time import perf_counter_ns

import torch
import xxhash

from hobbit.api import DeviceReport, ExpertKey, RoutingShape
from hobbit.blob import stride_of
from hobbit.errors import StoreError
from hobbit.store.bundle import BundleIndex, BundleLevel
from hobbit.store.direct_file import Bytes, DirectFile

THREADS = 4
"""Reads in flight: one blob is read in as many pieces, which keeps a solid-state disk busy."""

PIECE = 1 << 20
"""Bytes below which splitting a read costs more than it gains."""


class BlobDisk:
    """Reads the blobs of `levels`, some of the levels of the bundle in `folder`.

    Every blob is checked against its checksum whenever it is read, while its later pieces still come. One
    that cannot be read or does not match is read once more before anybody hears of it.
    Raises StoreError if a file cannot be opened.
    """

    def __init__(self, folder: Path, index: BundleIndex, levels: Sequence[BundleLevel]) -> None:
        self.folder = folder
        self.levels = tuple(levels)
        self._index = index
        self._files: dict[str, DirectFile] = {}
        self._pool = ThreadPoolExecutor(THREADS, "hobbit-disk")
        self._lock = Lock()
        self._readers = 0
        self._since_ns = 0
        self._busy_ns = 0
        self._moved = 0
        try:
            for level in self.levels:
                for file in level.files:
                    self._files[file.name] = DirectFile(folder / file.name)
        except OSError as error:
            self.close()
            raise StoreError(f"model={folder}: a file of experts cannot be opened ({error})") from None

    @property
    def shape(self) -> RoutingShape:
        """Layers, experts and top-K of the model."""
        return self._index.shape

    @property
    def direct(self) -> bool:
        """True if reads go past the page cache."""
        return all(file.direct for file in self._files.values())

    def read(self, key: ExpertKey, target: torch.Tensor) -> None:
        """Fill `target`, uint8 [nbytes] in host memory. Raises StoreError if the blob is not to be had."""
        level, row = self.levels[key.level], self._index.row(key.layer, key.expert)
        failure = self._attempt(level, row, target.numpy()) and self._attempt(level, row, target.numpy())
        if failure is None:
            return
        file, _ = level.place(row)
        raise StoreError(
            f"expert {key.expert} of layer {key.layer} at precision {level.precision} cannot be read from "
            f"{self.folder / file.name}: {failure}, twice; check the bundle with task=verify, and copy it "
            "again or convert again"
        )

    def add_streams(self, report: DeviceReport) -> None:
        """See `ExpertSource`: the stream "disk"; its bytes are whole pages, second attempts included."""
        with self._lock:
            open_ns = perf_counter_ns() - self._since_ns if self._readers else 0
            report.busy_ns["disk"] = self._busy_ns + open_ns
            report.moved_bytes["disk"] = self._moved

    def close(self) -> None:
        """Stop the threads and close the files; safe to call again."""
        self._pool.shutdown()
        for file in self._files.values():
            file.close()

    def _attempt(self, level: BundleLevel, row: int, target: Bytes) -> str | None:
        """Read a blob; None if it is what the index says, else what went wrong."""
        self._count(1, 0)
        digest = xxhash.xxh3_64()
        pieces: list[tuple[int, int, Future[int]]] = []
        moved = 0
        try:
            pieces = self._submit(level, row, target)
            for start, stop, piece in pieces:
                moved += piece.result()
                digest.update(target[start:stop].data)
        except (OSError, RuntimeError) as error:  # RuntimeError: the pool is shut down
            return str(error)
        finally:
            wait([piece for _, _, piece in pieces])  # nobody writes to the target once this call is over
            self._count(-1, moved)
        matches = digest.intdigest() == level.checksums[row]
        return None if matches else "its checksum does not match"

    def _submit(self, level: BundleLevel, row: int, target: Bytes) -> list[tuple[int, int, Future[int]]]:
        """Start reading a blob in pieces of whole pages."""
        place, offset = level.place(row)
        file = self._files[place.name]
        step = max(stride_of(-(-len(target) // THREADS)), PIECE)
        starts = range(0, len(target), step)
        bounds = [(start, min(start + step, len(target))) for start in starts]
        return [
            (start, stop, self._pool.submit(file.read, target[start:stop], offset + start))
            for start, stop in bounds
        ]

    def _count(self, readers: int, moved: int) -> None:
        """One reader more or less; the disk is busy while there is any."""
        now = perf_counter_ns()
        with self._lock:
            if self._readers:
                self._busy_ns += now - self._since_ns
            self._since_ns = now
            self._readers += readers
            self._moved += moved
