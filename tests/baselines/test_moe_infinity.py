"""MoE-Infinity: activation matrices find the past requests that are like the running one."""

from __future__ import annotations

import numpy as np
import pytest
from hobbit_baselines.activation_matrix import ActivationMatrices, matrices_of
from hobbit_baselines.eam_cache import EamCache, EamCacheComponent
from hobbit_baselines.eam_prefetch import EamPrefetch, EamPrefetchComponent
from hobbit_baselines.lfu import LfuComponent
from hobbit_baselines.lru import LruComponent

from hobbit.api import (
    HIGH,
    CacheComponent,
    Context,
    Demand,
    ExpertKey,
    PastRequest,
    PoolView,
    RoutingShape,
)
from hobbit.errors import ConfigError
from hobbit.testing.stand_ins import Holding
from tests.baselines.serving import Choices, context_of, hit_ratio

SHAPE = RoutingShape(layers=8, experts=16, top_k=2)
SMALL = RoutingShape(layers=2, experts=3, top_k=1)
CLUSTERS, TOKENS, SLOTS = 6, 12, 24


def requests(count: int, seed: int, mixed: bool) -> list[Choices]:
    """Requests whose tokens follow the taste of one cluster, or (mixed) each of any cluster."""
    tastes = np.random.default_rng(99).normal(scale=1.5, size=(CLUSTERS, SHAPE.layers, SHAPE.experts))
    random = np.random.default_rng(seed)
    made = []
    for number in range(count):
        cluster = random.integers(CLUSTERS, size=TOKENS) if mixed else np.full(TOKENS, number % CLUSTERS)
        logits = tastes[cluster] + random.gumbel(size=(TOKENS, SHAPE.layers, SHAPE.experts))
        made.append(np.argsort(-logits, axis=2)[..., : SHAPE.top_k])
    return made


def ratio(cache: CacheComponent, mixed: bool) -> float:
    """Hit ratio on 12 new requests, with 48 past ones to learn from."""
    past, new = requests(48, seed=1, mixed=mixed), requests(12, seed=2, mixed=mixed)
    return hit_ratio(cache, new, SHAPE.experts, SLOTS, past)


@pytest.mark.parametrize(
    "rival",
    [LfuComponent(), LruComponent(per_layer=False), LruComponent(per_layer=True)],
    ids=["lfu", "lru", "lru-per-layer"],
)
def test_it_beats_lfu_and_lru_on_clustered_requests(rival: CacheComponent) -> None:
    assert ratio(EamCacheComponent(), mixed=False) > 1.05 * ratio(rival, mixed=False)


def test_likeness_gains_nothing_where_all_requests_share_one_distribution() -> None:
    # Against LFU it would still have the head start of a past that LFU does not know.
    alike, everybody = EamCacheComponent(), EamCacheComponent(nearest=48)
    assert ratio(alike, mixed=True) <= ratio(everybody, mixed=True)
    assert ratio(alike, mixed=False) > 1.3 * ratio(everybody, mixed=False)


def matrices(*past: list[list[int]], capacity: int = 4, nearest: int = 1) -> ActivationMatrices:
    """Past requests of the small shape: a row for each token, with an expert for each layer."""
    made = ActivationMatrices(SMALL, capacity, nearest)
    made.learn(np.array(tokens)[:, :, None] for tokens in past)
    return made


def test_the_nearest_are_found_by_the_rows_seen_so_far() -> None:
    made = matrices([[0, 1]], [[0, 2], [0, 2]], [[1, 0]])
    made.observe(0, [1], [1])
    assert made.expected.tolist() == [[0, 1, 0], [1, 0, 0]]
    made.begin_request()
    made.observe(0, [0], [3])
    made.observe(1, [2], [3])
    assert made.expected.tolist() == [[2, 0, 0], [0, 0, 2]]


def test_the_nearest_are_summed() -> None:
    made = matrices([[0, 1]], [[0, 2], [0, 2]], [[1, 0]], nearest=2)
    made.observe(0, [0], [1])
    assert made.expected.tolist() == [[3, 0, 0], [0, 1, 2]]


def test_a_finished_request_joins_and_a_full_collection_replaces_the_closest() -> None:
    made = matrices([[0, 0]], [[1, 1]], capacity=2)
    for _ in range(2):
        for layer, expert in ((0, 1), (1, 2)):
            made.observe(layer, [expert], [1])
        made.begin_request()
    assert len(made) == 2
    made.observe(0, [1], [1])
    assert made.expected.tolist() == [[0, 1, 0], [0, 0, 1]], "the twin of [1, 1] has taken its place"
    made.begin_request()
    made.observe(0, [0], [1])
    assert made.expected.tolist() == [[1, 0, 0], [1, 0, 0]]


def test_without_a_past_all_experts_are_expected_alike() -> None:
    made = matrices()
    made.observe(0, [1], [1])
    assert made.expected.tolist() == [[1, 1, 1], [1, 1, 1]]
    assert EamPrefetch(made, 1, 0.0).plan(0, [Demand(1, 1.0, 0.0, 1)], None, Holding([[0] * 3] * 2)) is None


def test_the_worth_by_hand(context: Context) -> None:
    past = np.array([[[0, 1], [2, 3]], [[0, 2], [2, 0]]])  # two tokens, two layers of four experts, top-2
    context.past = lambda: [PastRequest(past, np.ones(past.shape, np.float32), None, 1)]
    policy = EamCacheComponent().build(context)
    policy.observe(0, [0, 1], [1, 1])
    pool = PoolView(HIGH, np.array([0, 1, 6, 7, 5]), np.array([0, 0, 1, 1, 1]))
    worth = policy.scores(pool, ExpertKey(0, 3, HIGH))
    assert worth == pytest.approx([2 / 4, 1 / 4, 2 / 4 / 2, 1 / 4 / 2, 0], abs=1e-3)
    assert worth[4] > 0


def plan(fetch: int, least: float, held: list[list[int]]) -> list[ExpertKey]:
    """What is fetched after layer 0 of a past in which expert 2 of layer 1 was twice as frequent as 0."""
    prefetcher = EamPrefetch(matrices([[0, 2], [0, 2], [0, 0]]), fetch, least)
    made = prefetcher.plan(0, [Demand(0, 1.0, 0.0, 1)], None, Holding(held))
    assert made is not None and not made.keep
    return made.fetch


def test_the_likeliest_missing_experts_are_fetched_in_falling_order() -> None:
    nothing, something = [[0] * 3, [0] * 3], [[0] * 3, [0, 0, 1]]
    assert plan(3, 0.0, nothing) == [ExpertKey(1, 2, HIGH), ExpertKey(1, 0, HIGH)]
    assert plan(1, 0.0, nothing) == [ExpertKey(1, 2, HIGH)]
    assert plan(1, 0.0, something) == [ExpertKey(1, 0, HIGH)]
    assert plan(3, 0.25, nothing) == [ExpertKey(1, 2, HIGH)], "2/3 and 1/3, halved for the distance of 1 in 2"


@pytest.mark.parametrize("nearest", [0, 121])
def test_no_more_are_nearest_than_there_are(nearest: int, context: Context) -> None:
    with pytest.raises(ConfigError, match=f"cache.nearest={nearest} must lie between 1 and"):
        EamCacheComponent(nearest=nearest).build(context)
    with pytest.raises(ConfigError, match=f"prefetcher.nearest={nearest} must lie between 1 and"):
        EamPrefetchComponent(nearest=nearest).build(context)


def test_a_prefetcher_that_fetches_nothing_is_refused(context: Context) -> None:
    with pytest.raises(ConfigError, match="fetch=0 fetches nothing"):
        EamPrefetchComponent(fetch=0).build(context)


def test_cache_and_prefetcher_share_the_matrices_and_decide_as_with_their_own() -> None:
    past, new = requests(20, seed=1, mixed=False), requests(6, seed=2, mixed=False)
    contexts = [context_of(new, SHAPE.experts, past) for _ in range(3)]
    together = EamPrefetchComponent().build(contexts[0]), EamCacheComponent().build(contexts[0])
    apart = EamPrefetchComponent().build(contexts[1]), EamCacheComponent().build(contexts[2])
    everybody = np.arange(SHAPE.layers * SHAPE.experts)
    pool = PoolView(HIGH, everybody, everybody // SHAPE.experts)
    nothing = Holding([[0] * SHAPE.experts] * SHAPE.layers)

    def step(prefetcher: EamPrefetch, cache: EamCache, layer: int, row: list[int]) -> tuple[object, object]:
        cache.observe(layer, row, [1] * len(row))
        scores = cache.scores(pool, ExpertKey(layer, row[0], HIGH)).tolist()
        return scores, prefetcher.plan(layer, [Demand(e, 0.5, 0.0, 1) for e in row], None, nothing)

    for chosen in new:
        for prefetcher, cache in (together, apart):
            cache.begin_sequence()
            prefetcher.begin_sequence()
        for token in chosen.tolist():
            for layer, row in enumerate(token):
                assert step(*together, layer, row) == step(*apart, layer, row)


def test_other_options_are_other_matrices(context: Context) -> None:
    made = matrices_of(context, "cache", 8, 2)
    assert matrices_of(context, "prefetcher", 8, 2) is made
    assert matrices_of(context, "prefetcher", 8, 3) is not made
