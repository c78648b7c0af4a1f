"""The queue of copies: what it costs the driver, and what the books of the link say."""

from __future__ import annotations

from collections.abc import Iterator
from threading import Event
from time import perf_counter_ns
from typing import Any

import pytest
import torch
from hobbit_devices.bounce import BounceRing
from hobbit_devices.copy_queue import CopyQueue
from hobbit_devices.interval_log import MANY, IntervalLog
from hobbit_devices.slot_marks import SlotMarks
from hobbit_devices.transfer import Transfer

from hobbit.api import Copy, ExpertKey
from tests.devices.conftest import Experts
from tests.devices.stand_in_streams import Moment, StandInStreams

EXPERTS = Experts(pin=False)
NBYTES = EXPERTS.layouts[0].nbytes


class Watched(StandInStreams):
    """Queues that keep their marks, and may be held up."""

    def __init__(self) -> None:
        super().__init__()
        self.marks: list[Moment] = []
        self.held: list[Moment] = []

    def copied(self) -> Moment:
        self.marks.append(super().copied())
        return self.marks[-1]

    def hold(self, mark: Moment) -> None:
        self.held.append(mark)
        super().hold(mark)

    def stop(self, worker: Any) -> Event:
        """Nothing moves in this queue until the event is set."""
        event = Event()
        worker.put(lambda: event.wait(20))
        return event


@pytest.fixture
def streams() -> Iterator[Watched]:
    streams = Watched()
    yield streams
    streams.close()


@pytest.fixture
def queue(streams: Watched) -> Iterator[CopyQueue]:
    queue = CopyQueue(streams, EXPERTS.store, 0, BounceRing(streams, 4096))
    yield queue
    queue.close()


def transfer(expert: int, reader: Moment | None = None) -> Transfer:
    copy = Copy(ExpertKey(0, expert, 0), expert, True, NBYTES)
    return Transfer(copy, torch.empty(NBYTES, dtype=torch.uint8), reader, urgent=True)


def test_copies_in_a_row_take_a_mark_each_and_one_before(streams: Watched, queue: CopyQueue) -> None:
    go = streams.stop(streams.copies)
    row = [transfer(expert) for expert in range(4)]
    for one in row:
        queue.queue(one)
    go.set()
    for one in row:
        streams.join(queue.arrival(one))
    assert len(streams.marks) == 5
    assert queue.settle() == streams.marks[-1].at_ns - streams.marks[0].at_ns


def test_time_without_copies_is_in_nobodys_books(streams: Watched, queue: CopyQueue) -> None:
    for expert in range(3):
        one = transfer(expert)
        queue.queue(one)
        streams.join(queue.arrival(one))
    assert len(streams.marks) == 6
    pairs = zip(streams.marks[::2], streams.marks[1::2], strict=True)
    assert queue.settle() == sum(second.at_ns - first.at_ns for first, second in pairs)


def test_waiting_for_a_reader_is_not_moving(streams: Watched, queue: CopyQueue) -> None:
    before = transfer(0)
    go = streams.stop(streams.compute)
    queue.queue(before)
    held = transfer(1, streams.computed())
    queue.queue(held)
    streams.join(queue.arrival(before))
    opened = perf_counter_ns()
    go.set()
    streams.join(queue.arrival(held))
    assert streams.marks[-2].at_ns > opened, "the interval starts when the reader is done"
    pairs = zip(streams.marks[::2], streams.marks[1::2], strict=True)
    assert queue.settle() == sum(second.at_ns - first.at_ns for first, second in pairs)


def test_a_slot_waits_for_readers_that_are_not_done(streams: Watched) -> None:
    marks = SlotMarks(streams)
    go = streams.stop(streams.compute)
    marks.read([(0, 0), (0, 1)])
    busy = [transfer(slot) for slot in (0, 1, 2)]
    for one in busy:
        marks.write(one)
    assert busy[0].reader is not None and busy[0].reader is busy[1].reader
    assert busy[2].reader is None, "nobody reads it"
    go.set()
    streams.finish()
    while not streams.idle():
        pass
    marks.read([(0, 0)])
    done = [transfer(slot) for slot in (0, 1)]
    for one in done:
        marks.write(one)
    assert [one.reader for one in done] == [None, None]


def test_the_log_keeps_few_marks(streams: Watched) -> None:
    log = IntervalLog(streams)
    passed = [streams.copied() for _ in range(10 * MANY)]
    streams.join(passed[-1])
    for first, second in zip(passed[::2], passed[1::2], strict=True):
        log.add(first, second)
        assert len(log._open) < MANY
    assert log.settle() == sum(b.at_ns - a.at_ns for a, b in zip(passed[::2], passed[1::2], strict=True))
