"""Least-Stale, LFRU, and Fate's pinned first layers and confident prefetches."""

from __future__ import annotations

import numpy as np
import pytest
from hobbit_baselines.fate import FateComponent
from hobbit_baselines.first_layers import FirstLayersComponent
from hobbit_baselines.forward_distance import forward_distances
from hobbit_baselines.least_stale import LeastStaleComponent
from hobbit_baselines.lfru import LfruComponent
from hobbit_baselines.lru import LruComponent

from hobbit.api import HIGH, CacheComponent, Component, Context, Demand, ExpertKey, PoolView, PrefetchPlan
from hobbit.errors import ConfigError
from hobbit.testing.stand_ins import Holding
from tests.baselines.serving import hit_ratio


def ranked(component: CacheComponent, context: Context, residents: list[int], placed: int = 0) -> list[int]:
    """Residents, whose flat ids count four experts a layer, in the order in which they would leave."""
    experts = np.array(residents)
    scores = component.build(context).scores(
        PoolView(HIGH, experts, experts // 4), ExpertKey(placed, 3, HIGH)
    )
    return [residents[position] for position in np.argsort(scores, kind="stable")]


def test_forward_distances() -> None:
    assert forward_distances(3).tolist() == [[3, 1, 2], [2, 3, 1], [1, 2, 3]]


def test_the_expert_passed_over_most_often_leaves(context: Context) -> None:
    policy = LeastStaleComponent().build(context)
    for layer, expert in ((0, 0), (0, 1), (1, 0), (0, 1), (0, 1)):
        policy.observe(layer, [expert], [1])
    pool = PoolView(HIGH, np.array([0, 1, 4, 5]), np.array([0, 0, 1, 1]))
    scores = policy.scores(pool, ExpertKey(0, 2, HIGH))
    assert scores.argsort().tolist() == [0, 3, 1, 2], "3 times, once; never, and layer 1 comes before layer 0"


def test_least_stale_survives_the_cycle_that_defeats_lru() -> None:
    # Every token uses one fixed expert a layer and one that changes: below the working set LRU hits nothing.
    random = np.random.default_rng(0)
    tokens = np.stack([np.zeros((60, 8), int), random.integers(1, 8, size=(60, 8))], axis=2)
    lru = hit_ratio(LruComponent(per_layer=False), [tokens], 8, 12)
    assert hit_ratio(LeastStaleComponent(), [tokens], 8, 12) > lru + 0.2


def test_lfru_spares_the_recent_and_drops_the_rarest_of_the_others(context: Context) -> None:
    for flat, tokens in ((0, 5), (1, 2), (2, 9), (3, 1)):
        context.records.use(flat, tokens, HIGH)
    assert ranked(LfruComponent(), context, [0, 1, 2, 3]) == [1, 0, 3, 2]
    assert ranked(LfruComponent(privileged=0.0), context, [0, 1, 2, 3]) == [3, 1, 0, 2]


def test_the_first_layers_stay_whole(context: Context) -> None:
    component = FirstLayersComponent(share=0.5)
    policy = component.build(context)
    for slots, staying in ((7, 0), (8, 4)):
        first = policy.warm(HIGH, policy.allocate(HIGH, slots, context.shape))
        assert first == [(0, expert) for expert in range(staying)]
    for flat, tokens in ((4, 2), (5, 1), (6, 1)):
        context.records.use(flat, tokens, HIGH)
    assert ranked(component, context, list(range(8)))[:4] == [7, 5, 6, 4]
    pool = PoolView(HIGH, np.arange(8), np.arange(8) // 4)
    assert np.isposinf(policy.scores(pool, ExpertKey(1, 0, HIGH))).tolist() == [True] * 4 + [False] * 4


class Guess:
    """A sure guess, and a doubtful one."""

    depth = 1

    def demands(self, distance: int) -> list[Demand]:
        return [Demand(2, 0.7, 0.0, 1), Demand(0, 0.3, 0.7, 1)]


def test_fate_fetches_only_what_it_is_sure_of(context: Context) -> None:
    fate = FateComponent().build(context)
    sure, doubtful = ExpertKey(1, 2, HIGH), ExpertKey(1, 0, HIGH)
    nothing, something = Holding([[0] * 4] * 2), Holding([[0] * 4, [1, 0, 0, 0]])
    assert fate.plan(0, [], Guess(), nothing) == PrefetchPlan([sure])
    assert fate.plan(0, [], Guess(), something) == PrefetchPlan([sure], [doubtful])
    assert FateComponent(confidence=0.2).build(context).plan(0, [], Guess(), nothing) == PrefetchPlan(
        [sure, doubtful]
    )
    assert fate.plan(0, [], None, nothing) is None


@pytest.mark.parametrize(
    ("component", "rule"),
    [
        (LfruComponent(privileged=1.5), "privileged=1.5 is not a share"),
        (FirstLayersComponent(share=-0.1), "share=-0.1 is not a share"),
        (FateComponent(confidence=2.0), "confidence=2.0 is not a share"),
    ],
    ids=["lfru", "first_layers", "fate"],
)
def test_shares_are_shares(component: Component, rule: str, context: Context) -> None:
    with pytest.raises(ConfigError, match=rule):
        component.build(context)
