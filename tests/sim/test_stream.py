"""One stream: order, priority, interruption, promotion, cancellation."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise

from hobbit_devices.streams import SECOND, Interval, Stream, Transfer
from hypothesis import given
from hypothesis import strategies as st

from hobbit.api import ExpertKey

FOREVER = 10**15


@dataclass
class Lane:
    """A stream of one byte a nanosecond, with 10 ns of latency, and transfers that go through it alone."""

    block: int = 0
    latency: int = 10
    bandwidth: int = SECOND
    log: list[Interval] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.stream = Stream("lane", self.bandwidth, self.latency, self.log)
        self.stream.block_bytes = self.block

    def send(self, expert: int, nbytes: int, at: int, urgent: bool = False) -> Transfer:
        transfer = Transfer(ExpertKey(0, expert, 0), nbytes, urgent, (self.stream,))
        self.stream.submit(transfer, at)
        return transfer

    def finish(self) -> None:
        self.stream.advance(FOREVER)


def test_one_transfer_takes_latency_and_bytes() -> None:
    lane = Lane()
    transfer = lane.send(0, 100, at=5)
    lane.stream.advance(114)
    assert not transfer.done
    lane.stream.advance(115)
    assert transfer.done and transfer.done_ns == 115
    assert (lane.stream.busy_ns, lane.stream.moved_bytes) == (110, 100)


def test_transfers_are_served_one_at_a_time_in_order() -> None:
    lane = Lane()
    first, second = lane.send(0, 100, at=0), lane.send(1, 50, at=20)
    lane.finish()
    assert (first.done_ns, second.done_ns) == (110, 170)


def test_urgent_passes_what_is_queued_but_not_what_is_started() -> None:
    lane = Lane()
    started, queued = lane.send(0, 100, at=0), lane.send(1, 100, at=1)
    urgent = lane.send(2, 100, at=2, urgent=True)
    lane.finish()
    assert (started.done_ns, urgent.done_ns, queued.done_ns) == (110, 220, 330)


def test_everything_said_at_one_instant_is_heard_before_serving() -> None:
    lane = Lane()
    prefetch, urgent = lane.send(0, 100, at=0), lane.send(1, 100, at=0, urgent=True)
    lane.finish()
    assert (urgent.done_ns, prefetch.done_ns) == (110, 220)


def test_urgent_interrupts_at_the_next_block_and_the_rest_resumes() -> None:
    lane = Lane(block=40)
    prefetch = lane.send(0, 100, at=0)
    urgent = lane.send(1, 30, at=15, urgent=True)  # 5 bytes into the first block, which ends at 50
    lane.finish()
    assert urgent.done_ns == 50 + 10 + 30
    assert prefetch.done_ns == 90 + 10 + 60
    assert [(i.start_ns, i.end_ns) for i in lane.log] == [(0, 50), (50, 90), (90, 160)]
    assert lane.stream.moved_bytes == 130


def test_the_last_block_is_not_interrupted() -> None:
    lane = Lane(block=40)
    prefetch = lane.send(0, 100, at=0)
    urgent = lane.send(1, 30, at=95, urgent=True)
    lane.finish()
    assert (prefetch.done_ns, urgent.done_ns) == (110, 150)


def test_urgent_transfers_do_not_interrupt_each_other() -> None:
    lane = Lane(block=10)
    first, second = lane.send(0, 100, at=0, urgent=True), lane.send(1, 10, at=20, urgent=True)
    lane.finish()
    assert (first.done_ns, second.done_ns) == (110, 130)


def test_a_queued_prefetch_can_be_promoted() -> None:
    lane = Lane()
    lane.send(0, 100, at=0)
    middle, late = lane.send(1, 100, at=1), lane.send(2, 100, at=2)
    lane.stream.advance(50)
    lane.stream.promote(late)
    lane.finish()
    assert (late.done_ns, middle.done_ns) == (220, 330)


def test_a_promoted_transfer_in_service_is_no_longer_interrupted() -> None:
    lane = Lane(block=10)
    prefetch = lane.send(0, 100, at=0)
    lane.stream.advance(50)
    lane.stream.promote(prefetch)
    urgent = lane.send(1, 10, at=55, urgent=True)
    lane.finish()
    assert (prefetch.done_ns, urgent.done_ns) == (110, 130)


def test_promotion_interrupts_another_prefetch() -> None:
    lane = Lane(block=40)
    first, second = lane.send(0, 100, at=0), lane.send(1, 40, at=1)
    lane.stream.advance(15)
    lane.stream.promote(second)
    lane.finish()
    assert (second.done_ns, first.done_ns) == (100, 170)


def test_a_dropped_transfer_in_the_queue_moves_nothing() -> None:
    lane = Lane()
    kept, dropped = lane.send(0, 100, at=0), lane.send(1, 100, at=1)
    lane.stream.advance(20)
    lane.stream.drop(dropped)
    lane.finish()
    assert kept.done and not dropped.done
    assert lane.stream.moved_bytes == 100


def test_a_dropped_transfer_in_service_runs_to_its_end_without_blocks() -> None:
    lane = Lane()
    dropped, after = lane.send(0, 100, at=0), lane.send(1, 10, at=1)
    lane.stream.advance(20)
    lane.stream.drop(dropped)
    lane.finish()
    assert not dropped.done
    assert after.done_ns == 110 + 20
    assert lane.stream.moved_bytes == 110


def test_a_dropped_transfer_in_service_stops_at_the_block_with_blocks() -> None:
    lane = Lane(block=40)
    dropped, after = lane.send(0, 100, at=0), lane.send(1, 10, at=1)
    lane.stream.advance(20)
    lane.stream.drop(dropped)
    lane.finish()
    assert not dropped.done
    assert after.done_ns == 50 + 20
    assert lane.stream.moved_bytes == 50


def test_two_stages_overlap_different_transfers() -> None:
    disk, link = Stream("disk", SECOND // 2, 0), Stream("link", SECOND, 0)
    transfers = [Transfer(ExpertKey(0, e, 0), 100, False, (disk, link)) for e in range(3)]
    for transfer in transfers:
        disk.submit(transfer, 0)
    for stream in (disk, link):
        stream.advance(FOREVER)
    assert [t.done_ns for t in transfers] == [300, 500, 700]
    assert (disk.busy_ns, link.busy_ns) == (600, 300)


Arrival = tuple[int, int, bool]
arrivals = st.lists(
    st.tuples(st.integers(0, 300), st.integers(1, 200), st.booleans()), min_size=1, max_size=12
)


@given(
    arrivals, st.sampled_from([0, 7, 50]), st.sampled_from([0, 10]), st.sampled_from([SECOND, 2_999_999_937])
)
def test_a_stream_conserves_work_and_never_overlaps(
    calls: list[Arrival], block: int, latency: int, bandwidth: int
) -> None:
    lane = Lane(block, latency, bandwidth)
    calls = sorted(calls, key=lambda call: call[0])
    sent = [lane.send(i, nbytes, at, urgent) for i, (at, nbytes, urgent) in enumerate(calls)]
    lane.finish()
    assert all(transfer.done for transfer in sent)
    assert lane.stream.moved_bytes == sum(nbytes for _, nbytes, _ in calls)
    spans = [(i.start_ns, i.end_ns) for i in lane.log]
    assert all(end <= start for (_, end), (start, _) in pairwise(spans))
    # It never idles while something waits: a gap ends at the arrival of what starts there.
    starts = {at for at, _, _ in calls}
    gaps = [start for (_, end), (start, _) in pairwise([(0, 0), *spans]) if end < start]
    assert set(gaps) <= starts


@given(arrivals, st.sampled_from([0, 7, 50]))
def test_urgent_waits_for_other_urgent_ones_and_at_most_one_block(calls: list[Arrival], block: int) -> None:
    lane = Lane(block)
    calls = sorted(calls, key=lambda call: call[0])
    sent = [lane.send(i, nbytes, at, urgent) for i, (at, nbytes, urgent) in enumerate(calls)]
    lane.finish()
    whole = max((nbytes for _, nbytes, urgent in calls if not urgent), default=0)
    stretch = 10 + (min(block, whole) if block else whole)
    for index, (at, _, urgent) in enumerate(calls):
        if urgent:
            ahead = [i for i in lane.log if calls[i.what.expert][2] and i.what.expert < index]  # type: ignore[attr-defined]
            busy = sum(max(0, i.end_ns - max(i.start_ns, at)) for i in ahead)
            own = 10 + calls[index][1]
            assert sent[index].done_ns <= at + busy + stretch + own
