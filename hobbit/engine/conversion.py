"""Conversion: a checkpoint's experts, read one by one, encoded at several precisions, written row by row."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from xxhash import xxh3_64_intdigest

from hobbit.api import BlobLayout, Quantizer
from hobbit.engine.reader import CheckpointReader
from hobbit.errors import ModelError
from hobbit.store import encode_expert
from hobbit.store.bundle.blob_writer import BlobWriter
from hobbit.store.bundle.journal import Journal

SYNC_BYTES = 256 * 2**20
"""Bytes written between two waits for the disk."""

_AHEAD_BYTES = 1200 * 2**20
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
        """Experts that may be under way at once; 0: not even all levels of one."""
        decoded = sum(spec.nbytes for _, spec in self.layouts[0].tensors)
        return min(self.workers + 1, _AHEAD_BYTES // (_COPIES * decoded))


_Blob = tuple[torch.Tensor, int]
"""A blob and its checksum."""


class _Sink:
    """Where encoded experts go, one after another."""

    def __init__(self, encoding: Encoding, writers: Sequence[BlobWriter], journal: Journal) -> None:
        self._expert_bytes = encoding.expert_bytes
        self._writers, self._journal = writers, journal
        self._unsynced = 0

    def write(self, row: int, blobs: Iterator[_Blob]) -> None:
        """Write the blobs of a row as they come, and then its line in the journal."""
        checksums = []
        for writer in self._writers:
            blob, checksum = next(blobs)
            writer.write(row, blob)
            checksums.append(checksum)
            del blob  # before the next one is waited for
        self._journal.add(tuple(checksums))
        self._unsynced += self._expert_bytes
        if self._unsynced >= SYNC_BYTES:
            self.sync()

    def sync(self) -> None:
        """Have all of it on the disk."""
        for writer in self._writers:
            writer.sync()
        self._journal.mark_synced()
        self._unsynced = 0


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
        ConfigError: if a precision cannot hold an expert.
        OSError: if the disk is full or fails.
    """
    sink = _Sink(encoding, writers, journal)
    with one_thread_each(), ThreadPoolExecutor(encoding.workers, "encode") as encoders:
        try:
            for _ in _written(sink, _encoded(reader, encoding, len(journal.rows), encoders), encoding):
                counter.advance(encoding.expert_bytes)
        except BaseException:
            encoders.shutdown(wait=False, cancel_futures=True)
            raise
    sink.sync()


def _written(sink: _Sink, rows: Iterable[tuple[int, Iterator[_Blob]]], encoding: Encoding) -> Iterator[None]:
    """Yields once a row is written; the next one is read meanwhile, where there is room for both."""
    with ThreadPoolExecutor(1, "write") as pool:
        under_way: Future[None] | None = None
        for row, blobs in rows:
            if under_way is not None:
                yield under_way.result()
            under_way = pool.submit(sink.write, row, blobs)
            if encoding.ahead < 2:
                wait([under_way])
        if under_way is not None:
            yield under_way.result()


def recheck(writers: Sequence[BlobWriter], journal: Journal) -> None:
    """Cut the journal before the first row that is not in the files as it says; synced ones are believed."""
    for row in range(journal.synced, len(journal.rows)):
        if any(w.checksum(row) != sum_ for w, sum_ in zip(writers, journal.rows[row], strict=True)):
            journal.cut(row)
            return


def _encoded(
    reader: CheckpointReader, encoding: Encoding, first: int, encoders: ThreadPoolExecutor
) -> Iterator[tuple[int, Iterator[_Blob]]]:
    """Row and blobs with their checksums, in order, from row `first` on; the next rows are under way."""
    waiting: deque[tuple[int, Iterator[_Blob]]] = deque()
    for row in range(first, reader.shape.layers * reader.shape.experts):
        # The first one here: what a quantizer imports on its first use, two threads must not import at once.
        waiting.append((row, _begin(reader, encoding, row, None if row == first else encoders)))
        while len(waiting) >= encoding.ahead and waiting:
            yield waiting.popleft()
    while waiting:
        yield waiting.popleft()


def _begin(
    reader: CheckpointReader, encoding: Encoding, row: int, pool: ThreadPoolExecutor | None
) -> Iterator[_Blob]:
    """Read an expert and have it encoded: by the pool, or as it is asked for (no pool, or too large)."""
    layer, expert = divmod(row, reader.shape.experts)
    tensors, where = reader.expert(layer, expert), f"expert {expert} of layer {layer}"
    if pool is None or not encoding.ahead:
        return (_encode(encoding.quantizer, tensors, layout, where) for layout in encoding.layouts)
    futures = deque(
        pool.submit(_encode, encoding.quantizer, tensors, layout, where) for layout in encoding.layouts
    )
    return (futures.popleft().result() for _ in encoding.layouts)


def _encode(
    quantizer: Quantizer, tensors: Mapping[str, torch.Tensor], layout: BlobLayout, where: str
) -> _Blob:
    blob = encode_expert(quantizer, tensors, layout.precision, where)
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
def one_thread_each() -> Iterator[None]:
    """Steps on one expert gain nothing from several threads each, which would wait for one another."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
