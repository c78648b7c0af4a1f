"""Every preset repeats its golden counts exactly, and Belady bounds what it bounds."""

from __future__ import annotations

import pytest

from tests.golden.cases import CAPACITIES, cases, counts_of, loads_of, stored

STORED = stored()


@pytest.mark.parametrize("case", list(cases()), ids="/".join)
def test_counts_are_the_golden_ones(case: tuple[str, str, str]) -> None:
    assert counts_of(*case) == STORED["/".join(case)], "if this is meant: python -m tests.golden.update --yes"


def test_nothing_else_is_on_file() -> None:
    assert STORED.keys() == {"/".join(case) for case in cases()}


@pytest.mark.parametrize("capacity", CAPACITIES)
@pytest.mark.parametrize("trace", sorted({trace for trace, _, _ in cases()}))
def test_belady_bounds_the_lossless_demand_policies(trace: str, capacity: str) -> None:
    loads = {
        policy: loads_of(STORED[f"{trace}/{policy}/{capacity}"])
        for policy in ("belady", "on_demand", "lru", "lfu", "mixtral_offloading")
    }
    assert loads["belady"] == min(loads.values())
