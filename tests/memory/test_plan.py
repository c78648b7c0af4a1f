"""The memory plan: what is left for experts, and which budgets are refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hobbit.errors import BudgetError, ConfigError
from hobbit.geometry import Geometry
from hobbit.memory import plan_memory
from hobbit.sizes import parse_size

MIXTRAL = Geometry(name="mixtral")
NATIVE = MIXTRAL.expert_values * 2
INT4 = MIXTRAL.expert_values * 9 // 16
KV = 2 * 8 * 128 * 2 * 32  # keys and values of 8 heads x 128, 2 bytes, 32 layers


def test_one_level_spends_the_rest_on_high_slots() -> None:
    plan = plan_memory(MIXTRAL, (NATIVE,), 24 * 2**30, context=256)
    assert plan.non_expert == MIXTRAL.non_expert_bytes
    assert plan.kv == 256 * KV
    assert plan.slots == ((24 * 2**30 - plan.non_expert - plan.kv) // NATIVE,) == (63,)
    assert 0 <= plan.free < NATIVE


def test_two_levels_share_the_same_total() -> None:
    one = plan_memory(MIXTRAL, (NATIVE,), 24 * 2**30, context=256)
    two = plan_memory(MIXTRAL, (NATIVE, INT4), 24 * 2**30, context=256, low_share=0.15, levels=2)
    high, low = two.slots
    assert high == int((one.expert_bytes + one.free) * 0.85) // NATIVE == 54
    assert low * INT4 >= 0.15 * one.expert_bytes - INT4
    assert two.expert_bytes + two.free == one.expert_bytes + one.free
    assert two.free < INT4


def test_staging_is_taken_before_slots() -> None:
    without = plan_memory(MIXTRAL, (NATIVE,), 24 * 2**30, context=0)
    staged = plan_memory(MIXTRAL, (NATIVE,), 24 * 2**30, context=0, staging_slots=4)
    assert staged.staging == 4 * NATIVE
    assert staged.slots[0] == without.slots[0] - 4


def test_slots_stop_at_every_expert() -> None:
    plan = plan_memory(MIXTRAL, (NATIVE, INT4), 200 * 2**30, context=0, low_share=0.5, levels=2)
    assert plan.slots == (256, 256)


def test_what_a_full_low_level_leaves_goes_to_high() -> None:
    plan = plan_memory(MIXTRAL, (NATIVE, INT4), 60 * 2**30, context=0, low_share=0.9, levels=2)
    assert plan.slots[1] == 256
    assert plan.free < NATIVE


def test_max_slots_keeps_nothing_but_one_layer() -> None:
    plan = plan_memory(MIXTRAL, (NATIVE,), 24 * 2**30, context=0, max_slots=2)
    assert plan.slots == (2,)
    assert not plan.warnings


def test_warns_below_the_working_set_of_a_token() -> None:
    small = plan_memory(MIXTRAL, (NATIVE,), 12 * 2**30, context=0)
    assert small.slots[0] < 64
    assert "64" in small.warnings[0] and "LRU" in small.warnings[0]
    assert not plan_memory(MIXTRAL, (NATIVE,), 28 * 2**30, context=0).warnings


def test_a_high_slot_floor_is_kept_whatever_the_share() -> None:
    plan = plan_memory(MIXTRAL, (NATIVE, INT4), 6 * 10**9, context=0, low_share=1.0, levels=2)
    assert plan.slots[0] == 3
    assert plan.slots[1] >= 1


@pytest.mark.parametrize(("capacity", "words"), [(2 * 10**9, "non-expert"), (4 * 10**9, "top-2")])
def test_refusals_say_how_much_is_enough(capacity: int, words: str) -> None:
    with pytest.raises(BudgetError, match=words) as refusal:
        plan_memory(MIXTRAL, (NATIVE,), capacity, context=16)
    assert "\n" not in str(refusal.value)
    assert "memory.device=" in str(refusal.value)


def test_the_size_that_a_refusal_names_is_accepted() -> None:
    with pytest.raises(BudgetError) as refusal:
        plan_memory(MIXTRAL, (NATIVE,), 4 * 10**9, context=16)
    enough = str(refusal.value).split("at least ")[1].split(",")[0]
    assert plan_memory(MIXTRAL, (NATIVE,), parse_size(enough, "memory.device"), context=16).slots == (3,)


def test_a_share_outside_zero_to_one_is_refused() -> None:
    with pytest.raises(ConfigError, match="low_share"):
        plan_memory(MIXTRAL, (NATIVE, INT4), 10**11, context=0, low_share=1.5, levels=2)


def test_the_table_adds_up() -> None:
    plan = plan_memory(
        MIXTRAL, (NATIVE, INT4), 24 * 2**30, context=512, low_share=0.2, staging_slots=2, levels=2
    )
    (_, budget, _), *parts = plan.describe()
    assert budget == sum(nbytes for _, nbytes, _ in parts)


@given(
    capacity=st.integers(10**9, 2 * 10**11),
    context=st.integers(0, 4096),
    low_share=st.floats(0, 1),
    staging=st.integers(0, 8),
    levels=st.sampled_from([1, 2]),
)
def test_a_plan_never_exceeds_its_budget(
    capacity: int, context: int, low_share: float, staging: int, levels: int
) -> None:
    try:
        plan = plan_memory(MIXTRAL, (NATIVE, INT4), capacity, context, low_share, staging, levels)
    except BudgetError:
        return
    assert plan.free >= 0
    assert plan.slots[0] + staging >= MIXTRAL.top_k + 1 and plan.slots[0] >= MIXTRAL.top_k
    assert all(0 < slots <= 256 for slots in plan.slots)
    assert len(plan.slots) == levels


def test_a_low_slot_for_every_expert_comes_first() -> None:
    plan = plan_memory(
        MIXTRAL, (NATIVE, INT4), 40 * 2**30, context=0, low_share=0.05, levels=2, low_everywhere=True
    )
    assert plan.slots[1] == 256
    assert plan.slots[0] == (plan.expert_bytes + plan.free - 256 * INT4) // NATIVE > 0


def test_too_little_for_all_low_slots_says_how_much_is_missing() -> None:
    options = {"context": 0, "levels": 2, "low_everywhere": True}
    fits = plan_memory(MIXTRAL, (NATIVE, INT4), 40 * 2**30, **options)
    least = fits.non_expert + 256 * INT4 + 3 * NATIVE
    plan_memory(MIXTRAL, (NATIVE, INT4), least, **options)
    with pytest.raises(BudgetError, match=r"a low copy of every expert .* 1 GB are missing"):
        plan_memory(MIXTRAL, (NATIVE, INT4), least - 10**9, **options)
