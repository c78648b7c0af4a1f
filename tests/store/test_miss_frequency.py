"""The host keeps what the device misses often, whatever passes by."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hobbit.store.miss_frequency import PERIOD, MissFrequency


def kept(policy: MissFrequency, rows: int) -> set[int]:
    return {row for row in range(rows) if policy.keeps(row)}


def test_a_scan_changes_nothing() -> None:
    policy = MissFrequency(3, 100)
    for row in (1, 2, 3, *range(10, 50)):
        policy.ask(row)
    assert kept(policy, 100) == {1, 2, 3}


def test_the_least_asked_leaves_for_one_asked_more_often() -> None:
    policy = MissFrequency(2, 10)
    for row in (1, 2, 1, 3):
        policy.ask(row)
    assert kept(policy, 10) == {1, 2}
    policy.ask(3)
    assert kept(policy, 10) == {1, 3}


def test_among_equals_the_one_asked_for_longest_ago_leaves() -> None:
    policy = MissFrequency(2, 10)
    for row in (1, 2, 1, 2, 2, 1, 3, 3, 3, 3):
        policy.ask(row)
    assert kept(policy, 10) == {1, 3}


def test_old_fame_fades() -> None:
    policy = MissFrequency(1, 10)
    for _ in range(PERIOD):
        policy.ask(1)
    for _ in range(PERIOD):
        policy.ask(2)
    assert kept(policy, 10) == {2}


@given(st.integers(0, 6), st.lists(st.integers(0, 11), max_size=80))
def test_it_never_keeps_more_than_its_places_and_the_order_decides(places: int, rows: list[int]) -> None:
    first, second = MissFrequency(places, 12), MissFrequency(places, 12)
    for row in rows:
        first.ask(row)
        second.ask(row)
        assert kept(first, 12) == kept(second, 12)
    assert len(kept(first, 12)) == min(places, len(set(rows)))
