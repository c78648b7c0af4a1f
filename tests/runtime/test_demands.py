"""Demands: what the routing of a pass asks for."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from hobbit.api import Routing
from hobbit.runtime import LogitsLookahead, demands_from


def routing(experts: list[list[int]], weights: list[list[float]]) -> Routing:
    return Routing(np.array(experts, np.int64), np.array(weights, np.float32))


def test_one_token_in_falling_weight_with_the_sum_of_those_before_as_score() -> None:
    demands = demands_from(routing([[3, 1, 6]], [[0.2, 0.5, 0.3]]))
    assert [d.expert for d in demands] == [1, 6, 3]
    assert np.allclose([d.score for d in demands], [0.0, 0.5, 0.8])
    assert demands[0].score == 0.0


def test_weights_are_normalised_to_sum_to_one() -> None:
    demands = demands_from(routing([[0, 1]], [[0.15, 0.05]]))
    assert np.allclose([d.weight for d in demands], [0.75, 0.25])


def test_several_tokens_keep_the_smallest_score_and_the_largest_weight() -> None:
    demands = demands_from(routing([[0, 1], [1, 0], [1, 2]], [[0.9, 0.1], [0.6, 0.4], [0.7, 0.3]]))
    by_expert = {d.expert: d for d in demands}
    assert [d.expert for d in demands] == [0, 1, 2]
    assert by_expert[1].score == 0.0
    assert np.isclose(by_expert[1].weight, 0.7)
    assert by_expert[1].tokens == 3
    assert np.isclose(by_expert[2].score, 0.7)
    assert by_expert[2].tokens == 1


def test_a_selection_that_is_not_kept_is_no_demand() -> None:
    one = routing([[3, 1, 6]], [[0.2, 0.5, 0.3]])
    one.kept = np.array([[True, True, False]])
    assert [(d.expert, d.tokens) for d in demands_from(one)] == [(1, 1), (3, 1)]
    assert np.isclose(demands_from(one)[0].weight, 0.5 / 0.7)


def test_several_tokens_demand_what_some_token_keeps() -> None:
    many = routing([[0, 1], [1, 2], [2, 0]], [[0.9, 0.1], [0.6, 0.4], [0.7, 0.3]])
    many.kept = np.array([[True, False], [True, True], [True, False]])
    assert [(d.expert, d.tokens) for d in demands_from(many)] == [(0, 1), (2, 2), (1, 1)]
    assert [d.score for d in demands_from(many)] == [0.0, 0.0, 0.0]


@st.composite
def routings(draw: st.DrawFn) -> Routing:
    experts, top_k, tokens = draw(st.sampled_from([(4, 1, 5), (8, 2, 3), (16, 6, 4)]))
    seed = draw(st.integers(0, 2**16))
    logits = np.random.default_rng(seed).normal(size=(tokens, experts)).astype(np.float32)
    top = np.argsort(-logits, axis=1, kind="stable")[:, :top_k]
    chosen = np.exp(np.take_along_axis(logits, top, axis=1))
    return Routing(top, (chosen / chosen.sum(axis=1, keepdims=True)).astype(np.float32), logits)


@given(routings())
def test_a_pass_of_many_tokens_is_the_union_of_its_tokens(many: Routing) -> None:
    singles = [
        demands_from(Routing(many.experts[t : t + 1], many.weights[t : t + 1])) for t in range(many.tokens)
    ]
    for demand in demands_from(many):
        mine = [d for single in singles for d in single if d.expert == demand.expert]
        assert demand.tokens == len(mine)
        assert np.isclose(demand.score, min(d.score for d in mine))
        assert np.isclose(demand.weight, max(d.weight for d in mine))
    assert sum(d.tokens for d in demands_from(many)) == many.experts.size


@given(routings())
def test_lookahead_predicts_what_a_softmax_router_would_choose(many: Routing) -> None:
    assert many.logits is not None
    top_k = many.experts.shape[1]
    lookahead = LogitsLookahead(many.logits[None], top_k, 3)
    assert lookahead.depth == 1
    predicted, chosen = lookahead.demands(1), demands_from(many)
    assert [(d.expert, d.tokens) for d in predicted] == [(d.expert, d.tokens) for d in chosen]
    assert np.allclose([d.score for d in predicted], [d.score for d in chosen], atol=1e-5)
    assert list(lookahead.experts(1)) == [d.expert for d in predicted]


@given(st.lists(st.integers(-2, 2), min_size=6, max_size=6), st.integers(1, 6))
def test_lookahead_ranks_equal_logits_by_expert(row: list[int], top_k: int) -> None:
    lookahead = LogitsLookahead(np.array([[row]], np.float32), top_k, 1)
    ranked = sorted(range(6), key=lambda expert: -row[expert])[:top_k]
    assert lookahead.experts(1) == ranked == [d.expert for d in lookahead.demands(1)]


@given(st.lists(st.integers(1, 3), min_size=4, max_size=4))
def test_one_token_ranks_equal_weights_by_expert(weights: list[int]) -> None:
    demands = demands_from(routing([[3, 1, 6, 2]], [[float(weight) for weight in weights]]))
    by_expert = dict(zip([3, 1, 6, 2], weights, strict=True))
    assert [d.expert for d in demands] == sorted(by_expert, key=lambda expert: (-by_expert[expert], expert))
