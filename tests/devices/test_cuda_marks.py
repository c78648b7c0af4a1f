"""Events are used again, and never one that somebody may still ask for."""

from __future__ import annotations

import sys
from threading import Thread
from typing import Any

from hobbit_devices.cuda_marks import CudaMark, CudaMarks


class Recorded:
    """In the place of an event: where it was recorded last."""

    def __init__(self) -> None:
        self.behind: Any = None

    def record(self, stream: Any) -> None:
        self.behind = stream


class Marks(CudaMarks):
    """Marks of such events, all of which are kept."""

    def __init__(self) -> None:
        super().__init__(blocking=False)
        self.made: list[Recorded] = []

    def _new(self) -> Recorded:
        self.made.append(Recorded())
        return self.made[-1]


def test_an_event_serves_one_mark_after_another() -> None:
    marks = Marks()
    for number in range(100):
        assert marks.behind(number).event.behind == number
    assert len(marks.made) == 1


def test_what_is_referred_to_stays_as_it_is() -> None:
    marks = Marks()
    kept = [marks.behind(number) for number in range(10)]
    pair = kept[3], kept[4]
    del kept[1:9]
    later = [marks.behind(100 + number) for number in range(8)]
    assert [mark.event.behind for mark in (*kept, *pair)] == [0, 9, 3, 4]
    assert sorted(mark.event.behind for mark in later) == list(range(100, 108))
    assert len(marks.made) == 12


def test_threads_never_share_an_event() -> None:
    marks = Marks()
    wrong: list[CudaMark] = []

    def work(name: int) -> None:
        for number in range(2000):
            first, second = marks.behind((name, number)), marks.behind((name, -number))
            if first.event.behind != (name, number) or second.event.behind != (name, -number):
                wrong.append(first)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [Thread(target=work, args=(name,)) for name in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert not wrong
    assert len(marks.made) <= 4 * 3, "a thread has two marks, and makes two more before it lets go of them"
