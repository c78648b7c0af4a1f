"""The loader thread: order, interruption at block boundaries, failures. Gates decide when blocks may move."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from threading import Event
from time import perf_counter_ns

import pytest
from hobbit_devices.worker import LoaderThread, Transfer
from hypothesis import given, settings
from hypothesis import strategies as st

from hobbit.api import Copy, ExpertKey
from hobbit.errors import DeviceError, ModelError


class Link:
    """Records the blocks that moved, by the expert's number; the first block waits for the gate."""

    def __init__(self) -> None:
        self.gate = Event()
        self.started = Event()
        self.moved: list[int] = []
        self.loader = LoaderThread(perf_counter_ns)

    def transfer(self, expert: int, urgent: bool = False, blocks: int = 1) -> Transfer:
        copy = Copy(ExpertKey(0, expert, 0), expert, urgent, blocks)
        return Transfer(copy, self._blocks(expert, blocks), urgent)

    def queue(self, expert: int, urgent: bool = False, blocks: int = 1) -> Transfer:
        transfer = self.transfer(expert, urgent, blocks)
        self.loader.queue(transfer)
        return transfer

    def start(self, expert: int, blocks: int = 1) -> Transfer:
        """A prefetch whose first block is under way until the gate opens."""
        transfer = self.queue(expert, blocks=blocks)
        assert self.started.wait(10)
        return transfer

    def finish(self, *transfers: Transfer) -> list[int]:
        self.gate.set()
        self.loader.wait([transfer.copy for transfer in transfers])
        return self.moved

    def _blocks(self, expert: int, blocks: int) -> Generator[int, None, None]:
        for remaining in reversed(range(blocks)):
            self.started.set()
            assert self.gate.wait(10)
            self.moved.append(expert)
            yield remaining


@pytest.fixture
def link() -> Iterator[Link]:
    link = Link()
    yield link
    link.gate.set()
    link.loader.close()


def test_urgent_copies_go_first_and_each_class_in_order(link: Link) -> None:
    first = link.start(0)
    rest = [link.queue(1), link.queue(2, urgent=True), link.queue(3), link.queue(4, urgent=True)]
    assert link.finish(first, *rest) == [0, 2, 4, 1, 3]


def test_an_urgent_copy_overtakes_at_a_block_boundary(link: Link) -> None:
    prefetch = link.start(0, blocks=3)
    later, urgent = link.queue(1), link.queue(2, urgent=True, blocks=2)
    assert link.finish(prefetch, later, urgent) == [0, 2, 2, 0, 0, 1]


def test_a_hurried_prefetch_joins_the_urgent_ones(link: Link) -> None:
    first = link.start(0)
    rest = [link.queue(1), link.queue(2), link.queue(3, urgent=True)]
    link.loader.hurry(rest[1])
    assert link.finish(first, *rest) == [0, 3, 2, 1]


def test_a_started_prefetch_that_is_hurried_is_not_overtaken(link: Link) -> None:
    first = link.start(0, blocks=2)
    urgent = link.queue(1, urgent=True)
    link.loader.hurry(first)
    assert link.finish(first, urgent) == [0, 0, 1]


def test_cancelled_copies_move_no_further(link: Link) -> None:
    started = link.start(0, blocks=3)
    queued, last = link.queue(1), link.queue(2)
    link.loader.cancel(started)
    link.loader.cancel(queued)
    assert link.finish(last) == [0, 2]
    assert not started.copy.done
    assert not queued.copy.done


def test_an_arrived_copy_may_be_cancelled_and_hurried(link: Link) -> None:
    transfer = link.queue(0)
    link.finish(transfer)
    link.loader.cancel(transfer)
    link.loader.hurry(transfer)
    assert link.finish(link.queue(1)) == [0, 1]


def test_in_place_copies_move_on_the_calling_thread(link: Link) -> None:
    link.gate.set()
    prefetch = link.queue(0, blocks=50)
    now = link.transfer(1, urgent=True, blocks=2)
    link.loader.move_now(now)
    assert now.copy.done
    first = link.moved.index(1)
    assert link.finish(prefetch)[first : first + 2] == [1, 1]


def test_waiting_for_what_has_arrived_costs_nothing(link: Link) -> None:
    transfer = link.queue(0)
    link.finish(transfer)
    assert link.loader.wait([transfer.copy]) == 0
    assert link.loader.busy_ns > 0


def failing(error: Exception) -> Generator[int, None, None]:
    yield 1
    raise error


@pytest.mark.parametrize("in_place", [False, True])
@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (ModelError("no such blob"), ModelError, "no such blob"),
        (RuntimeError("link down"), DeviceError, "expert=7.*link down"),
    ],
)
def test_failures_reach_the_caller(
    link: Link, in_place: bool, error: Exception, kind: type[Exception], message: str
) -> None:
    transfer = Transfer(Copy(ExpertKey(0, 7, 0), 0, True, 2), failing(error), True)

    def load_and_wait() -> None:
        if in_place:
            link.loader.move_now(transfer)
        else:
            link.loader.queue(transfer)
        link.loader.wait([transfer.copy])

    with pytest.raises(kind, match=message):
        load_and_wait()


def test_a_failure_is_its_own_copys_alone(link: Link) -> None:
    broken = Transfer(Copy(ExpertKey(0, 7, 0), 0, True, 2), failing(ModelError("no such blob")), True)
    link.loader.queue(broken)
    after = link.queue(1, urgent=True)
    assert link.finish(after) == [1]
    for _ in range(2):  # whoever waits for it hears of it
        with pytest.raises(ModelError, match="no such blob"):
            link.loader.wait([broken.copy])
    assert link.finish(link.queue(2)) == [1, 2]


def test_a_cancelled_copy_lets_go_of_its_source(link: Link) -> None:
    let_go = Event()

    def blocks() -> Generator[int, None, None]:
        try:
            yield 1
            yield 0
        finally:
            let_go.set()

    first = link.start(0)
    transfer = Transfer(Copy(ExpertKey(0, 7, 0), 0, False, 2), blocks(), False)
    assert next(transfer.blocks) == 1
    link.loader.queue(transfer)
    link.loader.cancel(transfer)
    link.finish(first, link.queue(1))
    assert let_go.is_set()


def test_close_ends_the_thread_and_whoever_waits(link: Link) -> None:
    started = link.start(0)
    queued = link.queue(1)
    link.gate.set()
    link.loader.wait([started.copy])
    link.loader.close()
    link.loader.close()
    never = link.queue(2)
    with pytest.raises(DeviceError, match="closed"):
        link.loader.wait([queued.copy, never.copy])


@settings(max_examples=30, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(1, 4), st.booleans(), st.sampled_from(["keep", "hurry", "cancel"])),
        min_size=1,
        max_size=12,
    )
)
def test_every_kept_copy_arrives_once_whatever_happens(plan: list[tuple[int, bool, str]]) -> None:
    link = Link()
    link.gate.set()
    kept = []
    for expert, (blocks, urgent, fate) in enumerate(plan):
        transfer = link.queue(expert, urgent, blocks)
        if fate == "hurry":
            link.loader.hurry(transfer)
        if fate == "cancel":
            link.loader.cancel(transfer)
        else:
            kept.append((expert, blocks, transfer))
    moved = link.finish(*(transfer for _, _, transfer in kept))
    link.loader.close()
    assert all(moved.count(expert) == blocks for expert, blocks, _ in kept)
