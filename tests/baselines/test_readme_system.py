"""Read-ME on known routes: Belady, exact prefetching of the next layer, batches that share experts."""

from __future__ import annotations

from itertools import chain

import numpy as np
import pytest
from hobbit_baselines.belady import BeladyComponent
from hobbit_baselines.expert_batches import expert_aware, experts_per_batch, first_come
from hobbit_baselines.lru import LruComponent
from hobbit_baselines.oracle import Oracle, OracleComponent
from hobbit_baselines.random_cache import RandomComponent
from hypothesis import given
from hypothesis import strategies as st

from hobbit.api import HIGH, CacheComponent, Context, Demand, ExpertKey, PoolView, PrefetchPlan
from hobbit.assembly import assemble
from hobbit.config.compose import compose
from hobbit.errors import ConfigError, TraceError
from hobbit.testing.stand_ins import Holding
from hobbit.trace import bundled_trace
from hobbit.trace.replay import future_of, replay
from tests.baselines.serving import hit_ratio

EXPERTS, CAPACITIES = 6, (2, 3, 4, 5)
FUTURE = np.array([0, 1, 5, 4, 3, 6])  # of 4 experts a layer: layers 0 {0, 1}, 1 {1, 0}; 0 {3}, 1 {2}


def ratios(cache: CacheComponent) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Hit ratios at the published capacities, on requests that go to any of six experts."""
    requests = [np.random.default_rng(0).integers(EXPERTS, size=(1500, 1, 1))]
    return np.array([hit_ratio(cache, requests, EXPERTS, slots) for slots in CAPACITIES])


def test_belady_bounds_random_and_lru_which_are_alike_as_published() -> None:
    random, lru = ratios(RandomComponent()), ratios(LruComponent(per_layer=False))
    belady = ratios(BeladyComponent())
    published = np.array([[0.342, 0.501, 0.675, 0.829], [0.339, 0.524, 0.670, 0.835]])
    assert np.abs([random, lru] - published).max() < 0.04
    assert (belady > np.maximum(random, lru) + 0.05).all(), "published: 4.5 to 10 points above both"
    assert (np.diff(belady) > 0).all()


def test_random_is_the_same_for_the_same_seed_only(context: Context) -> None:
    pool = PoolView(HIGH, np.arange(8), np.arange(8) // 4)
    draws = []
    for seed in (1, 1, 2):
        context.seed = seed
        policy = RandomComponent().build(context)
        policy.observe(0, [0], [1])
        draws.append(policy.scores(pool, ExpertKey(0, 0, HIGH)).tolist())
    assert draws[0] == draws[1] != draws[2]


def plan(oracle: Oracle, layer: int, held: int = 0) -> PrefetchPlan | None:
    return oracle.plan(layer, [Demand(0, 1.0, 0.0, 1)], None, Holding([[held] * 4] * 2))


def test_the_oracle_fetches_just_what_the_next_layer_will_demand() -> None:
    oracle = Oracle(FUTURE, 4)
    assert plan(oracle, 0) == PrefetchPlan([ExpertKey(1, 1, HIGH), ExpertKey(1, 0, HIGH)])
    assert plan(oracle, 1) is None, "the tokens of the next pass are not known yet"
    assert plan(oracle, 0, held=1) == PrefetchPlan([], [ExpertKey(1, 2, HIGH)])
    assert plan(oracle, 1) is None


def test_a_run_that_leaves_the_record_is_refused() -> None:
    oracle = Oracle(FUTURE, 4)
    with pytest.raises(TraceError, match="layer 1 runs, but the recorded run does not"):
        plan(oracle, 1)
    longer = Oracle(FUTURE, 4)
    for layer in (0, 1, 0, 1):
        plan(longer, layer)
    with pytest.raises(TraceError, match="at step 4"):
        plan(longer, 0)


def test_it_needs_a_future(context: Context) -> None:
    with pytest.raises(ConfigError, match="recorded run"):
        OracleComponent().build(context)


def test_the_first_layer_stays_where_slots_allow(context: Context) -> None:
    context.future = FUTURE
    policy = BeladyComponent(resident_layers=1).build(context)
    for slots, staying in ((7, 0), (8, 4)):  # four of the first layer, and twice top-2
        assert len(policy.warm(HIGH, policy.allocate(HIGH, slots, context.shape))) == staying
        pool = PoolView(HIGH, np.arange(slots), np.arange(slots) // 4)
        assert np.isposinf(policy.scores(pool, ExpertKey(1, 0, HIGH))).sum() == staying
    with pytest.raises(ConfigError, match="resident_layers=-1 is negative"):
        BeladyComponent(resident_layers=-1).build(context)


@pytest.mark.parametrize("device", ["orin", "rtx4090"])
def test_the_preset_never_misses_while_decoding(device: str) -> None:
    config, trace = compose(["policy=readme", f"device={device}"]), bundled_trace("books")
    future = future_of(trace, [0])
    assembly = assemble(config.setup(), config.geometry, tokens=64, future=future)
    replay(trace, assembly.runtime, [0])
    assembly.close()
    assert assembly.metrics.decode.misses == [0]
    assert assembly.metrics.decode.prefetches_used == sum(assembly.metrics.decode.prefetches) > 0


routes = st.lists(st.integers(0, 7), min_size=1, max_size=40)


@given(routes=routes, budget=st.integers(1, 12))
def test_every_token_is_in_one_full_batch(routes: list[int], budget: int) -> None:
    for arrange in (expert_aware, first_come):
        batches = list(arrange(routes, budget))
        assert sorted(chain(*batches)) == list(range(len(routes)))
        assert all(len(batch) == budget for batch in batches[:-1])


def test_the_longest_queue_goes_first() -> None:
    assert list(expert_aware([1, 0, 1, 2, 1, 0], 4)) == [[0, 2, 4, 1], [5, 3]]
    assert list(first_come([1, 0, 1, 2, 1, 0], 4)) == [[0, 1, 2, 3], [4, 5]]


def test_batches_by_expert_need_fewer_experts_on_bundled_routes() -> None:
    trace = bundled_trace("books")
    heaviest = trace.weights.argmax(axis=2)[..., None]
    chosen = np.take_along_axis(trace.experts.astype(np.int64), heaviest, axis=2)[..., 0]  # [T, L]
    lines = [chosen[start : start + 32, 16].tolist() for start in range(0, 832, 32)]  # 32 tokens wait
    aware, queued = (
        np.mean([experts_per_batch(list(arrange(line, 16)), line) for line in lines])
        for arrange in (expert_aware, first_come)
    )
    assert aware < 0.8 * queued, "published: 3.51 against 5.08"
