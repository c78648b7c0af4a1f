"""Conversion: a checkpoint's experts, read one by one, encoded at several precisions, written row by row."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from xxhash import xxh3_64_intdigest

from hobbit.api import BlobLayout, Quantizer
from hobbit.engine.reader import CheckpointReader
from hobbit.errors import ModelError
from hobbit.store.bundle.blob_writer import BlobWriter
from hobbit.store.bundle.journal import Journal

SYNC_BYTES = 256 * 2**20
"""Bytes written between two waits for the disk."""

_AHEAD_BYTES = 2**30
"""Bytes that experts under way may take together."""

_COPIES = 3
"""Times its own size that an expert under way takes: read, converted, encoded."""


class Counter(Protocol):
    """Is told of blobs' bytes: those that a call before wrote, then each expert's once they are written."""

    def keep(self, nbytes: int) -> None:
        """So many were done before."""
        ...

    def advance(self, nbytes: int) -> None:
        """So many more are done."""
        ...


@dataclass(frozen=True, slots=True)
class Encoding:
    """How experts are encoded: one layout a level, by `quantizer`, by `workers` threads."""

    quantizer: Quantizer
    layouts: Sequence[BlobLayout]
    workers: int

    @property
    def expert_bytes(self) -> int:
        """Bytes of one expert's blobs."""
        return sum(layout.nbytes for layout in self.layouts)

    @property
    def ahead(self) -> int:
        """Experts that may be under way at once."""
        decoded = sum(spec.nbytes for _, spec in self.layouts[0].tensors)
        return max(1, min(self.workers + 1, _AHEAD_BYTES // (_COPIES * decoded)))


def convert_experts(
    reader: CheckpointReader,
    encoding: Encoding,
    writers: Sequence[BlobWriter],
    journal: Journal,
    counter: Counter,
) -> None:
    """Write the experts that `journal` lacks, in order, and keep it up to date.

    Raises:
        ModelError: if an expert cannot be read, or has weights that are not finite.
        OSError: if the disk is full or fails.
    """
    unsynced = 0
    for row, blobs in _encoded(reader, encoding, len(journal.rows)):
        for writer, (blob, _) in zip(writers, blobs, strict=True):
            writer.write(row, blob)
        journal.add(tuple(checksum for _, checksum in blobs))
        unsynced += encoding.expert_bytes
        if unsynced >= SYNC_BYTES:
            _sync(writers, journal)
            unsynced = 0
        counter.advance(encoding.expert_bytes)
    _sync(writers, journal)


def recheck(writers: Sequence[BlobWriter], journal: Journal) -> None:
    """Cut the journal before the first row that is not in the files as it says; synced ones are believed."""
    for row in range(journal.synced, len(journal.rows)):
        if any(w.checksum(row) != sum_ for w, sum_ in zip(writers, journal.rows[row], strict=True)):
            journal.cut(row)
            return


def _sync(writers: Sequence[BlobWriter], journal: Journal) -> None:
    for writer in writers:
        writer.sync()
    journal.mark_synced()


_Blob = tuple[torch.Tensor, int]


def _encoded(reader: CheckpointReader, encoding: Encoding, first: int) -> Iterator[tuple[int, list[_Blob]]]:
    """Row and blobs with their checksums, in order, from row `first` on; the next ones are under way."""
    shape = reader.shape
    waiting: deque[tuple[int, list[Future[_Blob]]]] = deque()
    with _one_thread_each(), ThreadPoolExecutor(encoding.workers, "encode") as pool:
        try:
            for row in range(first, shape.layers * shape.experts):
                layer, expert = divmod(row, shape.experts)
                tensors = reader.expert(layer, expert)
                where = f"expert {expert} of layer {layer}"
                waiting.append(
                    (
                        row,
                        [
                            pool.submit(_encode, encoding.quantizer, tensors, lay, where)
                            for lay in encoding.layouts
                        ],
                    )
                )
                del tensors
                while len(waiting) >= encoding.ahead:
                    yield _result(waiting.popleft())
            while waiting:
                yield _result(waiting.popleft())
        finally:
            pool.shutdown(cancel_futures=True)


def _result(entry: tuple[int, list[Future[_Blob]]]) -> tuple[int, list[_Blob]]:
    row, futures = entry
    return row, [future.result() for future in futures]


def _encode(
    quantizer: Quantizer, tensors: Mapping[str, torch.Tensor], layout: BlobLayout, where: str
) -> _Blob:
    blob = quantizer.encode(tensors, layout.precision)
    if blob.numel() != layout.nbytes:
        raise ModelError(f"{where} makes a blob of {blob.numel()} bytes, its layout says {layout.nbytes}")
    bad = scale_that_is_no_number(blob, layout)
    if bad is not None:
        raise ModelError(
            f"{where} has weights that are not finite: {bad} cannot be encoded as {layout.precision}; the "
            "checkpoint is damaged, copy it again"
        )
    return blob, xxh3_64_intdigest(blob.numpy().data)


def scale_that_is_no_number(blob: torch.Tensor, layout: BlobLayout) -> str | None:
    """The first tensor of `blob` with a scale or shift that is not finite; None if all are."""
    for field in layout.fields:
        dtype: Any = getattr(torch, field.spec.dtype)
        if field.part == "data" or not dtype.is_floating_point:
            continue
        values = blob[field.offset : field.offset + field.spec.nbytes].view(dtype)
        if not bool(torch.isfinite(values).all()):
            return field.tensor
    return None


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """Several experts at once on one core each, rather than one on all: no steps that wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
