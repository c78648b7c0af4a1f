"""The priority of multidimensional caching, worked out by hand for 4 layers of 2 experts."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hobbit_paper.layer_distance import layer_distances
from hobbit_paper.multidim import MultidimComponent

from hobbit.api import Context, ExpertKey, PoolView
from hobbit.errors import ConfigError


def test_distance_is_forward_and_wraps() -> None:
    assert layer_distances(4)[1].tolist() == [3, 0, 1, 2]


def test_priority_by_hand(context: Context) -> None:
    records = context.records
    records.begin_pass(10)  # T = 10
    near, far = 2 * 2 + 1, 0  # flat ids: layer 2 expert 1, layer 0 expert 0
    records.last_token[[near, far]] = 9, 10
    records.uses[[near, far]] = 4, 10
    records.high_uses[[near, far]] = 3, 0
    policy = MultidimComponent(w_lru=0.1, w_lfu=0.2, w_lhu=0.3, w_fld=0.4).build(context)
    pool = PoolView(0, np.array([near, far]), np.array([2, 0]))
    scores = policy.scores(pool, ExpertKey(layer=1, expert=0, level=0))
    # near: 0.1 * 9/10 + 0.2 * 4/10 + 0.3 * 3/10 + 0.4 * (1 - 1/4); far: 0.1 + 0.2 + 0 + 0.4 * (1 - 3/4)
    np.testing.assert_allclose(scores, [0.56, 0.40])


@pytest.mark.parametrize(("weight", "leaves"), [("w_lru", 0), ("w_lfu", 1), ("w_lhu", 2), ("w_fld", 3)])
def test_each_weight_alone(weight: str, leaves: int, context: Context) -> None:
    records = context.records
    records.begin_pass(8)
    experts = np.array([0, 2, 4, 6])  # one a layer
    records.last_token[experts] = 1, 8, 8, 8
    records.uses[experts] = 8, 1, 8, 8
    records.high_uses[experts] = 8, 8, 1, 8
    weights = dict.fromkeys(("w_lru", "w_lfu", "w_lhu", "w_fld"), 0.0) | {weight: 1.0}
    scores = (
        MultidimComponent(**weights)
        .build(context)
        .scores(PoolView(0, experts, experts // 2), ExpertKey(layer=0, expert=1, level=0))
    )
    assert scores.argmin() == leaves


@pytest.mark.parametrize(("level", "own_level", "leaves"), [(0, True, 1), (1, True, 0), (1, False, 1)])
def test_a_low_cache_may_count_its_own_uses(
    level: int, own_level: bool, leaves: int, context: Context
) -> None:
    records = context.records
    records.begin_pass(8)
    records.high_uses[[0, 1]] = 5, 2
    records.low_uses[[0, 1]] = 1, 3
    policy = MultidimComponent(w_lru=0, w_lfu=0, w_lhu=1, w_fld=0, own_level=own_level).build(context)
    scores = policy.scores(PoolView(level, np.array([0, 1]), np.array([0, 0])), ExpertKey(0, 0, level))
    assert scores.argmin() == leaves


def test_a_new_sequence_leaves_only_the_distance(context: Context) -> None:
    context.records.use(0, 5, 0)
    context.records.begin_sequence()
    scores = (
        MultidimComponent()
        .build(context)
        .scores(PoolView(0, np.array([0, 2]), np.array([0, 1])), ExpertKey(layer=0, expert=1, level=0))
    )
    np.testing.assert_allclose(scores, [0.25, 0.25 * 3 / 4])


@pytest.mark.parametrize("weights", [{"w_lru": 0.5}, {"w_lru": -0.25, "w_lfu": 0.75}, {"w_fld": math.nan}])
def test_weights_that_are_no_shares_are_refused(weights: dict[str, float], context: Context) -> None:
    with pytest.raises(ConfigError, match="must sum to 1"):
        MultidimComponent(**weights).build(context)
