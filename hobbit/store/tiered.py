"""TieredStore: experts on disk, some of them in host memory too."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from threading import Condition, Thread

import torch

from hobbit.api import DeviceReport, ExpertKey
from hobbit.errors import HobbitError
from hobbit.store.disk import BlobDisk
from hobbit.store.shelf import Buffer, Shelf, State


class TieredStore:
    """An `ExpertSource` over `disk`, with a shelf of host memory for each level.

    With `ahead`, as many blobs a level as the shelf can spare are read before they are asked for, on a thread
    of their own; without, a blob that the host does not keep goes from the disk straight into the target of
    `read`. `expect` alone decides what the host keeps.
    """

    def __init__(self, disk: BlobDisk, shelves: Sequence[Shelf], ahead: bool) -> None:
        self._disk = disk
        self._shelves = tuple(shelves)
        self._experts = disk.shape.experts
        self._changed = Condition()
        self._expected: dict[ExpertKey, None] = {}
        self._requests = 0
        self._closing = False
        self._reader = Thread(target=self._read_ahead, name="hobbit-read-ahead", daemon=True)
        self._ahead = ahead
        if ahead:
            self._reader.start()

    def blob(self, key: ExpertKey) -> torch.Tensor:
        """See `ExpertSource`."""
        buffer = self._claim(key)
        if buffer.state is State.FILLING:
            self._fill(key, buffer)
        return buffer.tensor

    def at_hand(self, key: ExpertKey) -> bool:
        """See `ExpertSource`."""
        with self._changed:
            buffer = self._shelves[key.level].find(self._row(key))
            return buffer is not None and buffer.state is State.FULL

    def release(self, key: ExpertKey) -> None:
        """See `ExpertSource`."""
        with self._changed:
            buffer = self._shelves[key.level].find(self._row(key))
            assert buffer is not None and buffer.users, f"{key} was not lent"
            buffer.users -= 1
            self._changed.notify_all()

    def read(self, key: ExpertKey, target: torch.Tensor) -> None:
        """See `ExpertSource`."""
        with self._changed:
            shelf, row = self._shelves[key.level], self._row(key)
            shelved = self._ahead or shelf.find(row) is not None or shelf.policy.keeps(row)
        if not shelved:
            self._disk.read(key, target)
            return
        buffer = self._claim(key)
        if buffer.state is State.FILLING:
            with self._filling(key, buffer):
                self._disk.read(key, target)
                buffer.tensor.copy_(target)
        else:
            target.copy_(buffer.tensor)
        self.release(key)

    def expect(self, keys: Sequence[ExpertKey]) -> None:
        """See `ExpertSource`."""
        with self._changed:
            for key in keys:
                self._shelves[key.level].policy.ask(self._row(key))
            if self._ahead:
                self._expected.update(dict.fromkeys(keys))
                self._changed.notify_all()

    def add_streams(self, report: DeviceReport) -> None:
        """See `ExpertSource`."""
        self._disk.add_streams(report)

    def close(self) -> None:
        """See `ExpertSource`."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        if self._ahead:
            self._reader.join()
        self._disk.close()
        self._shelves = ()

    def _row(self, key: ExpertKey) -> int:
        return key.layer * self._experts + key.expert

    def _claim(self, key: ExpertKey) -> Buffer:
        """The blob's buffer with one user more: full, or for the caller to fill."""
        shelf, row = self._shelves[key.level], self._row(key)
        with self._changed:
            self._expected.pop(key, None)
            self._requests += 1
            while (buffer := shelf.find(row) or shelf.take(row)) is None or buffer.state is State.FILLING:
                self._changed.wait()
            return _lent(buffer)

    def _fill(self, key: ExpertKey, buffer: Buffer) -> None:
        with self._filling(key, buffer):
            self._disk.read(key, buffer.tensor)

    @contextmanager
    def _filling(self, key: ExpertKey, buffer: Buffer) -> Iterator[None]:
        """Whoever waits for the buffer hears how it went: it is full, or gone."""
        try:
            yield
        except BaseException:
            with self._changed:
                buffer.users -= 1
                self._shelves[key.level].drop(buffer)
                self._changed.notify_all()
            raise
        with self._changed:
            buffer.state = State.FULL
            self._changed.notify_all()

    def _read_ahead(self) -> None:
        """The thread: fill a buffer for whatever is expected next, as long as there are buffers to spare."""
        while True:
            with self._changed:
                while not self._closing and (found := self._next()) is None:
                    self._changed.wait()
                if self._closing or found is None:
                    return
            key, buffer = found
            try:
                self._fill(key, buffer)
            except HobbitError:
                continue  # whoever asks reads it again, and hears why
            self.release(key)

    def _next(self) -> tuple[ExpertKey, Buffer] | None:
        """The next expected blob that is not here, and a buffer to fill for it."""
        for key in list(self._expected):
            shelf, row = self._shelves[key.level], self._row(key)
            if shelf.find(row) is None:
                buffer = shelf.take(row, overdue=self._requests - 2 * shelf.spare)
                if buffer is None:
                    return None
                buffer.ahead = self._requests
                del self._expected[key]
                return key, _lent(buffer, ahead=True)
            del self._expected[key]
        return None


def _lent(buffer: Buffer, ahead: bool = False) -> Buffer:
    """The buffer with one user more; an empty one is theirs to fill."""
    buffer.users += 1
    if not ahead:
        buffer.ahead = None
    if buffer.state is State.EMPTY:
        buffer.state = State.FILLING
    return buffer
