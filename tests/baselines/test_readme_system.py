"""Read-ME on known routes: Belady, exact prefetching of the next layer, batches that share experts."""

from __future__ import annotations

from dataclasses import replace
from itertools import chain

import numpy as np
import numpy.typing as npt
import pytest
from hobbit_baselines.belady import BeladyComponent
from hobbit_baselines.expert_aware import ExpertAware
from hobbit_baselines.first_come import FirstCome
from hobbit_baselines.lru import LruComponent
from hobbit_baselines.oracle import Oracle, OracleComponent
from hobbit_baselines.random_cache import RandomComponent
from hypothesis import given
from hypothesis import strategies as st

from hobbit.api import HIGH, CacheComponent, Context, Demand, ExpertKey, PoolView, PrefetchPlan, no_past
from hobbit.assembly import assemble
from hobbit.config.compose import compose
from hobbit.errors import ConfigError, TraceError
from hobbit.report.measures import Measures
from hobbit.tasks.replays import replay_setup
from hobbit.testing.stand_ins import Holding
from hobbit.trace import Trace, bundled_trace
from hobbit.trace.cut import joined, pieces
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


def line_of(routes: list[int]) -> npt.NDArray[np.int64]:
    """Tokens of a model with one layer, one expert each, [W, 1, 1]."""
    return np.array(routes, np.int64)[:, None, None]


routes = st.lists(st.integers(0, 7), min_size=1, max_size=40)


@given(routes=routes, budget=st.integers(1, 12))
def test_every_token_is_in_one_full_batch(routes: list[int], budget: int) -> None:
    for batcher in (ExpertAware(), FirstCome()):
        batches = batcher.arrange(line_of(routes), budget)
        assert sorted(chain(*batches)) == list(range(len(routes)))
        assert all(len(batch) == budget for batch in batches[:-1])


def test_the_longest_queue_goes_first() -> None:
    line = line_of([1, 0, 1, 2, 1, 0])
    assert ExpertAware().arrange(line, 4) == [[0, 2, 4, 1], [5, 3]]
    assert FirstCome().arrange(line, 4) == [[0, 1, 2, 3], [4, 5]]


@given(routes=routes, budget=st.integers(1, 12), layers=st.integers(1, 3))
def test_with_one_route_for_all_layers_batches_are_those_of_the_published_queues(
    routes: list[int], budget: int, layers: int
) -> None:
    queues = {
        expert: [t for t, route in enumerate(routes) if route == expert] for expert in sorted(set(routes))
    }
    published: list[list[int]] = []
    while any(queues.values()):
        batch: list[int] = []
        while len(batch) < budget and any(queues.values()):
            longest = max(queues.values(), key=len)
            taken = longest[: budget - len(batch)]
            del longest[: len(taken)]
            batch += taken
        published.append(batch)
    assert ExpertAware().arrange(line_of(routes).repeat(layers, axis=1), budget) == published


def test_the_next_token_is_the_one_that_adds_the_fewest_experts_over_all_layers() -> None:
    line = np.array([[[0, 1], [0, 1]], [[2, 3], [2, 3]], [[0, 1], [0, 2]], [[0, 2], [2, 3]]])  # [W, L, K]
    assert ExpertAware().arrange(line, 2) == [[2, 0], [3, 1]]


def one_route(trace: Trace) -> Trace:
    """As Read-ME's models route: one expert a token, in every layer the same; here layer 16's heaviest."""
    chosen = np.take_along_axis(trace.experts, trace.weights.argmax(axis=2)[..., None], axis=2)  # [T, L, 1]
    routes = np.ascontiguousarray(np.broadcast_to(chosen[:, 16:17], chosen.shape))
    header = replace(trace.header, top_k=1, depth=0)
    weights = np.ones_like(routes, np.float32)
    return replace(trace, header=header, experts=routes, weights=weights, logits=None, lookahead=None)


def served(batcher: str, trace: Trace) -> Measures:
    config = compose(["policy=readme", f"batcher={batcher}", "device=rtx4090", "workload.waiting=32"])
    geometry = replace(config.geometry, top_k=1)
    return replay_setup(trace, config.setup(), geometry, 0, no_past)[0]


def test_a_queue_batched_by_expert_needs_fewer_experts_and_ends_sooner() -> None:
    trace = one_route(joined([pieces(bundled_trace(domain), 16, 16, 16) for domain in ("books", "code")]))
    queued, aware = (served(batcher, trace) for batcher in ("first_come", "expert_aware"))
    assert queued.batch_tokens == aware.batch_tokens == 16
    assert aware.batch_experts < 0.8 * queued.batch_experts, "published: 3.51 against 5.08"
    assert aware.loads < queued.loads
    assert aware.decode_tokens_per_s > queued.decode_tokens_per_s
    assert served("expert_aware", trace) == aware
