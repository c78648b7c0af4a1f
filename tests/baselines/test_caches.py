"""The plain caches: who leaves, and how slots are shared."""

from __future__ import annotations

import numpy as np
import pytest
from hobbit_baselines.lfu import LfuComponent
from hobbit_baselines.lru import LruComponent
from hobbit_baselines.no_cache import NoCacheComponent
from hobbit_baselines.resident import ResidentComponent

from hobbit.api import HIGH, LOW, CacheComponent, Context, ExpertKey, PoolView
from hobbit.errors import BudgetError

INCOMING = ExpertKey(0, 3, HIGH)


def leaver(component: CacheComponent, context: Context, *residents: int) -> int:
    """The flat id that the policy would evict."""
    experts = np.array(residents)
    scores = component.build(context).scores(PoolView(HIGH, experts, experts // 4), INCOMING)
    return residents[int(scores.argmin())]


def test_lru_evicts_the_longest_unused_across_sequences(context: Context) -> None:
    for flat in (1, 0, 2):
        context.records.use(flat, 1, HIGH)
    context.records.begin_sequence()
    context.records.use(1, 1, HIGH)
    assert leaver(LruComponent(), context, 1, 2, 0) == 0


def test_lfu_evicts_the_least_used_of_this_sequence(context: Context) -> None:
    context.records.use(0, 9, HIGH)
    context.records.begin_sequence()
    for flat, tokens in ((1, 3), (0, 1), (2, 2)):
        context.records.use(flat, tokens, HIGH)
    assert leaver(LfuComponent(), context, 1, 0, 2) == 0


def test_lfu_breaks_ties_by_recency(context: Context) -> None:
    for flat in (2, 0, 1):
        context.records.use(flat, 1, HIGH)
    assert leaver(LfuComponent(), context, 0, 1, 2) == 2


@pytest.mark.parametrize(
    ("per_layer", "slots", "shares"),
    [(None, 4, (4,)), (None, 3, (2, 1)), (True, 5, (3, 2)), (False, 3, (3,)), (True, 1, (1,))],
)
def test_lru_is_global_where_a_token_fits(
    per_layer: bool | None, slots: int, shares: tuple[int, ...], context: Context
) -> None:
    assert (
        LruComponent(per_layer=per_layer).build(context).allocate(HIGH, slots, context.shape).slots == shares
    )


def test_no_cache_keeps_nothing(context: Context) -> None:
    assert not NoCacheComponent().build(context).keeps
    assert LruComponent().build(context).keeps


def test_resident_needs_a_slot_for_every_expert(context: Context) -> None:
    policy = ResidentComponent().build(context)
    assert policy.allocate(HIGH, 8, context.shape).slots == (8,)
    assert policy.allocate(LOW, 3, context.shape).slots == (3,)
    with pytest.raises(BudgetError, match="all 8 experts, not 7"):
        policy.allocate(HIGH, 7, context.shape)
