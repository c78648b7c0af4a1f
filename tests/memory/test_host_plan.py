"""The host's budget is kept, is what the machine has, and is refused in one line where it cannot serve."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hobbit import host_plan
from hobbit.api import RoutingShape
from hobbit.errors import BudgetError
from hobbit.host_plan import HostRequest, plan_host
from tests.store.blobs import NATIVE, SHAPE, SMALL

LAYOUTS = (NATIVE, SMALL)
EVERYTHING = 12 * (NATIVE.nbytes + SMALL.nbytes)


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with 10 MB of free memory."""
    monkeypatch.setattr(host_plan, "free_host_bytes", lambda: 10 * 10**6)


def test_all_that_fits_lies_in_memory() -> None:
    plan = plan_host(HostRequest("1MB"), LAYOUTS, SHAPE)
    assert plan.whole
    assert plan.nbytes == EVERYTHING
    assert plan.describe() == [("host memory", EVERYTHING, "all 12 experts")]


def test_nothing_is_kept_where_every_expert_has_a_slot() -> None:
    plan = plan_host(HostRequest("1MB", placed=True), LAYOUTS, SHAPE)
    assert not plan.whole
    assert plan.places == 0


@given(st.integers(66_000, EVERYTHING - 1), st.booleans())
def test_the_plan_stays_within_the_budget_and_uses_it(budget: int, direct: bool) -> None:
    plan = plan_host(HostRequest(str(budget), direct=direct), LAYOUTS, RoutingShape(3, 4, 2))
    assert plan.nbytes <= budget < plan.nbytes + sum(plan.strides) or plan.places == 12
    (_, total, note), *parts = plan.describe()
    assert total == budget
    assert f"{plan.places} of 12" in note
    assert sum(nbytes for _, nbytes, _ in parts) == plan.nbytes


def test_auto_takes_what_is_free_beside_the_slots() -> None:
    assert plan_host(HostRequest(slots=2 * 10**6), LAYOUTS, SHAPE).budget == 7 * 10**6


def test_a_budget_beyond_the_machine_is_refused() -> None:
    large = RoutingShape(100, 100, 2)
    with pytest.raises(BudgetError, match=r"memory.host=11MB is more than the 8 MB .* slots of 2 MB"):
        plan_host(HostRequest("11MB", slots=2 * 10**6), LAYOUTS, large)
    plan_host(HostRequest("11MB"), LAYOUTS, SHAPE)  # takes less than that


def test_a_budget_that_nothing_passes_through_says_what_is_needed() -> None:
    with pytest.raises(BudgetError, match=r"memory.host=20 kB cannot hold the 2 experts .* at least 1MB"):
        plan_host(HostRequest("20kB"), LAYOUTS, SHAPE)
