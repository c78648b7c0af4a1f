"""EdgeMoE: the table of paths, preloading by it, and the cache beside it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hobbit_baselines.edgemoe_cache import EdgeMoeComponent
from hobbit_baselines.path_prefetch import PathPrefetch, PathPrefetchComponent
from hobbit_baselines.path_table import PathTable

from hobbit.api import HIGH, Context, Demand, ExpertKey, PastRequest, PoolView, RoutingShape
from hobbit.errors import ConfigError
from hobbit.testing.stand_ins import Holding
from hobbit.trace import bundled_trace
from hobbit.trace.bundled import DOMAINS
from hobbit.trace.past import bundled_past, past_requests

SHAPE = RoutingShape(layers=3, experts=4, top_k=1)
PATHS = [[0, 1, 2], [0, 1, 2], [0, 1, 3], [3, 1, 0], [3, 1, 0], [3, 1, 0], [3, 1, 0]]


def past_of(paths: Sequence[Sequence[int]]) -> PastRequest:
    """Tokens that choose one expert a layer."""
    experts = np.array(paths)[:, :, None]
    return PastRequest(experts, np.ones(experts.shape, np.float32), None, 1)


def table_of(paths: Sequence[Sequence[int]], order: int = 2) -> PathTable:
    table = PathTable(SHAPE, order)
    table.learn_past([past_of(paths)])
    return table


def counts(table: PathTable, layer: int, path: Sequence[int]) -> list[float]:
    found = table.counts(layer, path)
    assert found is not None
    return found.tolist()


def test_the_path_of_two_layers_decides() -> None:
    table = table_of(PATHS)
    assert counts(table, 2, [0, 1]) == [0, 0, 2, 1]
    assert counts(table, 2, [3, 1]) == [4, 0, 0, 0]


def test_an_unknown_path_backs_off_to_one_layer_then_to_the_marginal() -> None:
    table = table_of([*PATHS, [2, 2, 3]])
    assert counts(table, 2, [1, 1]) == [4, 0, 2, 1]
    assert counts(table, 2, [0, 0]) == [4, 0, 2, 2]
    assert counts(table_of(PATHS, order=0), 2, [0, 1]) == [4, 0, 2, 1]


def test_tokens_are_learned_one_by_one_as_in_bulk() -> None:
    bulk, single = table_of(PATHS), PathTable(SHAPE)
    assert single.counts(0, []) is None
    for path in PATHS:
        for layer, expert in enumerate(path):
            single.learn(layer, path[:layer], [expert])
    for layer, path in ((0, []), (1, [0]), (2, [0, 1]), (2, [3, 1]), (2, [2, 1])):
        assert counts(bulk, layer, path) == counts(single, layer, path)


def test_many_paths_have_rows_of_their_own() -> None:
    paths = np.random.default_rng(0).integers(4, size=(500, 3)).tolist()
    table = table_of(paths)
    for first in range(4):
        for second in range(4):
            after = [path[2] for path in paths if path[:2] == [first, second]]
            assert counts(table, 2, [first, second]) == np.bincount(after, minlength=4).tolist()


def hit_rate(order: int) -> float:
    """Share of the two likeliest experts that the tokens of the bundled test traces really choose."""
    past = bundled_past()
    layers, top_k = past[0].experts.shape[1:]
    table = PathTable(RoutingShape(layers, 8, top_k), order)
    table.learn_past(past)
    hits = guesses = 0
    for request in (r for domain in DOMAINS for r in past_requests(bundled_trace(domain))):
        heaviest = request.weights.argmax(axis=2)[..., None]
        paths = np.take_along_axis(request.experts, heaviest, axis=2)[::16, :, 0]  # every sixteenth token
        for path, chosen in zip(paths.tolist(), request.experts[::16].tolist(), strict=True):
            for layer in range(2, layers):
                likely = np.argsort(-np.array(counts(table, layer, path[:layer])))[:2]
                hits += len({*likely.tolist()} & {*chosen[layer]})
                guesses += 2
    return hits / guesses


def test_two_layers_predict_better_than_one_and_one_better_than_the_marginal() -> None:
    marginal, one, two = (hit_rate(order) for order in (0, 1, 2))
    assert marginal < one < two


def plan(component: PathPrefetchComponent, context: Context, *layers: list[Demand]) -> list[ExpertKey]:
    """What is fetched after a pass has come through these layers."""
    context.geometry.layers, context.geometry.top_k = SHAPE.layers, SHAPE.top_k
    context.past = lambda: [past_of(PATHS)]
    prefetcher = component.build(context)
    return plan_on(prefetcher, *layers)


def plan_on(prefetcher: PathPrefetch, *layers: list[Demand]) -> list[ExpertKey]:
    made = None
    for layer, demands in enumerate(layers):
        made = prefetcher.plan(layer, demands, None, Holding([[0] * 4, [0] * 4, [0, 0, 0, 1]]))
    return made.fetch if made is not None else []


def one(expert: int) -> list[Demand]:
    return [Demand(expert, 1.0, 0.0, 1)]


def test_the_likeliest_missing_experts_are_fetched(context: Context) -> None:
    everything = PathPrefetchComponent(fetch=3, least=0.0)
    assert plan(everything, context, one(0), one(1)) == [ExpertKey(2, 2, HIGH)], "3 is held, 0 never followed"
    assert plan(everything, context, one(3), one(1)) == [ExpertKey(2, 0, HIGH)]
    assert plan(everything, context, one(1), one(1)) == [ExpertKey(2, 0, HIGH), ExpertKey(2, 2, HIGH)]
    assert plan(everything, context, one(0), one(1), one(2)) == [], "no layer is left"


def test_only_sure_guesses_are_fetched(context: Context) -> None:
    assert plan(PathPrefetchComponent(least=0.6), context, one(0), one(1)) == [ExpertKey(2, 2, HIGH)]
    assert plan(PathPrefetchComponent(least=0.7), context, one(0), one(1)) == []
    assert plan(PathPrefetchComponent(fetch=1, least=0.0), context, one(1), one(1)) == [ExpertKey(2, 0, HIGH)]


def test_generated_tokens_are_learned_and_prompts_are_not() -> None:
    prefetcher = PathPrefetch(PathTable(SHAPE), SHAPE.layers, 1, 0.0)
    prompt = [Demand(0, 1.0, 0.0, 5), Demand(1, 0.5, 0.5, 2)]
    assert plan_on(prefetcher, prompt, prompt, prompt) == []
    assert plan_on(prefetcher, one(0), one(1)) == []
    plan_on(prefetcher, one(0), one(1), one(2))
    assert plan_on(prefetcher, one(0), one(1)) == [ExpertKey(2, 2, HIGH)]


@pytest.mark.parametrize(
    ("component", "rule"),
    [(PathPrefetchComponent(fetch=0), "fetch=0"), (PathPrefetchComponent(order=-1), "order=-1")],
    ids=["fetch", "order"],
)
def test_options_that_make_no_sense_are_refused(
    component: PathPrefetchComponent, rule: str, context: Context
) -> None:
    with pytest.raises(ConfigError, match=rule):
        component.build(context)


def worths(as_printed: bool, context: Context) -> list[float]:
    """Worth of experts 0 and 1 of layer 0 and 0 and 3 of layer 1, where one of layer 0 comes."""
    experts = np.array([[[0, 1], [0, 1]], [[0, 2], [0, 2]]])  # two tokens, two layers, top-2
    context.past = lambda: [PastRequest(experts, np.ones(experts.shape, np.float32), None, 1)]
    policy = EdgeMoeComponent(as_printed=as_printed).build(context)
    policy.observe(0, [0], [4])
    pool = PoolView(HIGH, np.array([0, 1, 4, 7]), np.array([0, 0, 1, 1]))
    return policy.scores(pool, ExpertKey(0, 3, HIGH)).tolist()


def test_the_worth_is_frequency_over_forward_distance(context: Context) -> None:
    # Layer 1 comes next, layer 0 after it: distances 1 and 2.
    assert worths(False, context) == pytest.approx([6 / 8 / 2, 1 / 8 / 2, 2 / 4, 0])


def test_the_printed_formula_says_the_opposite(context: Context) -> None:
    assert worths(True, context) == pytest.approx([2 * 8 / 6, 2 * 8, 4 / 2, 4 / 0.5])
