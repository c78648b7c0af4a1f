"""Where a cell stands between LRU and Belady."""

from __future__ import annotations

from dataclasses import replace

from hobbit.report.bounds import with_bounds
from hobbit.report.cell import Cell
from tests.report.test_cell import CELL, MEASURES

PLAIN = replace(MEASURES, prefetch_use=None, skipped=0.0, hosted=0.0)


def cell(policy: str, loads: int, **others: object) -> Cell:
    """A lossless cell that issued so many loads, each a miss."""
    measures = replace(PLAIN, loads=loads, miss_penalty=float(loads))
    values = {"lossless": True, "slots": (120,), "precisions": ("int8",), **others}
    return replace(CELL, policy=policy, key=policy, measures=measures, **values)  # type: ignore[arg-type]


def test_the_gap_runs_from_lru_to_belady() -> None:
    found = {c.policy: c for c in with_bounds([cell("lru", 100), cell("lfu", 80), cell("belady", 60)])}
    assert [found[name].gap_closed for name in ("lru", "lfu", "belady")] == [0.0, 0.5, 1.0]
    assert found["lfu"].miss_penalty_vs_belady == 80 / 60


def test_only_demand_fetching_at_one_precision_with_equal_slots_is_bounded() -> None:
    others = [
        cell("fewer_slots", 90, slots=(119,)),
        cell("lossy", 90, lossless=False),
        replace(cell("prefetching", 90), measures=replace(PLAIN, loads=90, prefetch_use=0.5)),
        replace(cell("hosting", 90), measures=replace(PLAIN, loads=90, hosted=0.1)),
    ]
    found = with_bounds([cell("lru", 100), cell("belady", 60), *others])
    assert [c.gap_closed for c in found[2:]] == [None] * 4
    assert all(c.miss_penalty_vs_belady is not None for c in found[2:])


def test_bounds_are_those_of_the_same_place() -> None:
    lfu = cell("lfu", 80)
    elsewhere = [cell("lru", 100, device="rtx4090"), cell("belady", 60, comparison="other")]
    assert with_bounds([lfu, *elsewhere])[0] == lfu


def test_without_belady_or_measures_nothing_is_said() -> None:
    failed = replace(cell("lfu", 80), measures=None, error="no memory")
    assert with_bounds([failed, cell("lru", 100)])[0] == failed
    assert with_bounds([failed, cell("lru", 100), cell("belady", 60)])[0] == failed
