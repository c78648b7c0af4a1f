"""The clock over disk and link: in whatever order it is called, time goes forward and bytes add up."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from hobbit_devices.streams import SECOND, Interval, Stream, Transfer
from hobbit_devices.virtual_clock import VirtualClock
from hypothesis import given
from hypothesis import strategies as st

from hobbit.api import ExpertKey

NBYTES = 100


@dataclass(frozen=True)
class Step:
    """One call of a runtime: to transfer `pick` of those under way, or a computation of `pick` ns."""

    call: str
    pick: int


steps = st.lists(
    st.builds(
        Step,
        st.sampled_from(["urgent", "prefetch", "hurry", "cancel", "compute", "wait", "host"]),
        st.integers(0, 150),
    ),
    max_size=40,
)


class Run:
    """Plays steps; odd transfers come from the disk, even ones from the host's memory."""

    def __init__(self, block_bytes: int) -> None:
        self.log: list[Interval] = []
        self.disk = Stream("disk", SECOND // 2, 7, self.log)
        self.link = Stream("link", SECOND, 3, self.log)
        self.clock = VirtualClock((self.disk, self.link), self.log)
        for stream in self.clock.movers:
            stream.block_bytes = block_bytes
        self.alive: list[Transfer] = []
        self.sent = 0
        self.stalls = 0

    def send(self, urgent: bool, stages: tuple[Stream, ...]) -> Transfer:
        transfer = Transfer(ExpertKey(0, self.sent, 0), NBYTES, urgent, stages)
        self.sent += 1
        self.clock.submit(transfer)
        return transfer

    def play(self, step: Step) -> None:
        chosen = self.alive[step.pick % len(self.alive)] if self.alive else None
        if step.call in ("urgent", "prefetch"):
            stages = (self.disk, self.link) if self.sent % 2 else (self.link,)
            self.alive.append(self.send(step.call == "urgent", stages))
        elif step.call == "compute":
            self.clock.compute(step.pick, "test")
        elif step.call == "host":
            self.clock.host("test", step.pick, self.send(True, (self.disk,)) if step.pick % 2 else None)
            self.stalls += self.clock.join()
        elif chosen is not None and step.call == "hurry":
            self.clock.promote(chosen)
        elif chosen is not None and step.call == "cancel":
            self.clock.cancel(chosen)
            self.alive.remove(chosen)
        elif chosen is not None:
            self.stalls += self.clock.wait([chosen])
            assert chosen.done_ns <= self.clock.now_ns


@given(steps, st.sampled_from([0, 30]))
def test_any_order_of_calls_keeps_the_books(calls: list[Step], block_bytes: int) -> None:
    run = Run(block_bytes)
    for step in calls:
        before = run.clock.now_ns
        run.play(step)
        assert run.clock.now_ns >= before
        assert all(mover.idle or mover.clock_ns <= run.clock.now_ns for mover in run.clock.movers)
    run.stalls += run.clock.wait(run.alive)
    assert all(transfer.done for transfer in run.alive)
    assert run.clock.stall_ns == run.stalls
    assert run.clock.now_ns == run.clock.compute_ns + run.clock.stall_ns
    for mover in run.clock.movers:
        spans = sorted((i.start_ns, i.end_ns) for i in run.log if i.stream == mover.name)
        assert sum(end - start for start, end in spans) == mover.busy_ns <= run.clock.now_ns
        assert all(first[1] <= second[0] for first, second in pairwise(spans))
    assert run.link.moved_bytes <= run.sent * NBYTES


@given(steps)
def test_the_same_calls_take_the_same_time(calls: list[Step]) -> None:
    first, second = Run(30), Run(30)
    for run in (first, second):
        for step in calls:
            run.play(step)
    assert first.log == second.log
    assert first.clock.now_ns == second.clock.now_ns


def test_an_urgent_transfer_that_comes_at_a_block_boundary_starts_there() -> None:
    run = Run(30)
    run.send(False, (run.link,))
    run.clock.compute(3 + 30, "until the first block is over")
    urgent = run.send(True, (run.link,))
    run.clock.wait([urgent])
    assert urgent.done_ns == 33 + run.link.duration_ns(NBYTES)
