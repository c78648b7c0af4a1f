"""Belady: the next uses by hand, and optimality against brute force."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hobbit_baselines.belady import BeladyComponent
from hobbit_baselines.lfu import LfuComponent
from hobbit_baselines.lru import LruComponent
from hypothesis import given
from hypothesis import strategies as st

from hobbit.api import HIGH, CacheComponent, Context, ExpertKey, Geometry, PoolView, Records
from hobbit.errors import ConfigError, TraceError
from hobbit.runtime.residency import Residency

EXPERTS = 3


def context_for(stream: Sequence[int]) -> Context:
    geometry = Geometry(layers=2, experts=EXPERTS, top_k=1)
    return Context(geometry, ("native",), (400,), Records(geometry.shape), future=np.array(stream, np.int64))


def loads_of(component: CacheComponent, stream: Sequence[int], slots: int) -> int:
    """Loads that the policy needs to serve the stream, one expert a layer, from one global pool."""
    context = context_for(stream)
    policy = component.build(context)
    residency = Residency(context.shape, [policy.allocate(HIGH, slots, context.shape)], policy, staging=0)
    loads = 0
    for flat in stream:
        key = ExpertKey(*divmod(flat, EXPERTS), HIGH)
        policy.observe(key.layer, [key.expert], [1])
        context.records.use(flat, 1, HIGH)
        if not residency.held(key.layer, key.expert):
            residency.admit(key, key.layer)
            residency.release(key.layer)
            loads += 1
    return loads


def fewest_loads(stream: Sequence[int], slots: int) -> int:
    """The least loads that any choice of victims needs, by trying them all."""
    costs = {frozenset[int](): 0}
    for flat in stream:
        reached: dict[frozenset[int], int] = {}
        for held, cost in costs.items():
            if flat in held:
                options = [(held, cost)]
            elif len(held) < slots:
                options = [(held | {flat}, cost + 1)]
            else:
                options = [(held - {victim} | {flat}, cost + 1) for victim in held]
            for state, total in options:
                reached[state] = min(total, reached.get(state, total))
        costs = reached
    return min(costs.values())


streams = st.lists(st.integers(0, 2 * EXPERTS - 1), min_size=1, max_size=14)


@given(stream=streams, slots=st.integers(1, 5))
def test_no_choice_of_victims_loads_less(stream: list[int], slots: int) -> None:
    assert loads_of(BeladyComponent(), stream, slots) == fewest_loads(stream, slots)


@pytest.mark.parametrize("component", [LruComponent(per_layer=False), LfuComponent()], ids=lambda c: c.name)
def test_it_bounds_the_other_caches(component: CacheComponent) -> None:
    stream = np.random.default_rng(0).integers(0, 2 * EXPERTS, 300).tolist()
    for slots in (1, 2, 4):
        assert loads_of(BeladyComponent(), stream, slots) <= loads_of(component, stream, slots)


def test_next_uses_by_hand() -> None:
    policy = BeladyComponent().build(context_for([0, 4, 1, 0, 4]))
    pool = PoolView(HIGH, np.array([0, 4, 1, 2]), np.array([0, 1, 0, 0]))
    incoming = ExpertKey(0, 2, HIGH)
    assert policy.scores(pool, incoming).tolist() == [0, -1, -2, -5]
    policy.observe(0, [0], [1])
    assert policy.scores(pool, incoming).tolist() == [-3, -1, -2, -5]
    policy.observe(1, [1], [1])
    policy.observe(0, [1, 0], [1, 1])
    assert policy.scores(pool, incoming).tolist() == [-5, -4, -5, -5]


@pytest.mark.parametrize("demanded", [[1], [0, 1]], ids=["another expert", "beyond the end"])
def test_a_run_that_leaves_the_record_is_refused(demanded: list[int]) -> None:
    policy = BeladyComponent().build(context_for([0]))
    with pytest.raises(TraceError, match=r"demands expert 1, but the recorded run does not"):
        policy.observe(0, demanded, [1] * len(demanded))


def test_it_needs_a_future(context: Context) -> None:
    with pytest.raises(ConfigError, match="recorded run"):
        BeladyComponent().build(context)
