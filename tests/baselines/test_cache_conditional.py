"""Cache-conditional experts: what the bonus changes, and what it never does."""

from __future__ import annotations

import numpy as np
import pytest
from hobbit_baselines.cache_conditional import CacheConditional, CacheConditionalComponent

from hobbit.api import Context, Routing, RoutingShape
from hobbit.config.compose import compose
from hobbit.errors import ConfigError
from hobbit.tasks.replays import replay_setup
from hobbit.testing import check_component
from hobbit.testing.stand_ins import Holding
from hobbit.trace import bundled_trace
from hobbit.trace.cut import cut

SHAPE = RoutingShape(1, 4, 2)
LOGITS = [2.0, 1.0, 0.5, -2.0]  # a range of 4
LAST_TWO_HELD = Holding([[0, 0, 1, 1]])


def softmax(logits: list[float]) -> np.ndarray:
    odds = np.exp(np.array(logits, np.float32))
    return odds / odds.sum()


def routing_of(*tokens: list[float], renormalised: bool = True) -> Routing:
    """What a softmax top-2 router says."""
    logits = np.array(tokens, np.float32)
    experts = np.argsort(-logits, axis=1)[:, :2]
    weights = np.take_along_axis(np.array([softmax(row) for row in tokens]), experts, axis=1)
    return Routing(experts, weights / weights.sum(axis=1, keepdims=True) if renormalised else weights, logits)


def test_a_resident_expert_takes_the_place_of_a_missing_one() -> None:
    # Bonus 0.25 * 4: expert 2 rises from 0.5 to 1.5, above expert 1; expert 3 to -1.
    routed = CacheConditional(0.25, 1, SHAPE).transform(0, routing_of(LOGITS), LAST_TWO_HELD)
    assert routed.experts.tolist() == [[0, 2]]
    expected = softmax([2.0, 0.5])  # of the plain logits
    assert routed.weights[0].tolist() == pytest.approx(expected.tolist(), rel=1e-5)


def test_weights_are_not_renormalised_where_the_model_does_not() -> None:
    given = routing_of(LOGITS, renormalised=False)
    routed = CacheConditional(0.25, 1, SHAPE).transform(0, given, LAST_TWO_HELD)
    assert routed.weights[0].tolist() == pytest.approx(softmax(LOGITS)[[0, 2]].tolist(), rel=1e-5)


@pytest.mark.parametrize(("top_j", "experts"), [(0, {2, 3}), (1, {0, 2}), (2, {0, 1})])
def test_the_first_j_are_always_chosen(top_j: int, experts: set[int]) -> None:
    routed = CacheConditional(9.0, top_j, SHAPE).transform(0, routing_of(LOGITS), LAST_TWO_HELD)
    assert set(routed.experts[0].tolist()) == experts


def test_the_range_is_a_running_mean() -> None:
    router = CacheConditional(0.25, 1, SHAPE)
    router.transform(0, routing_of([0.0] * 4, [0.0] * 4, [0.0] * 4), LAST_TWO_HELD)
    given = routing_of(LOGITS)  # the mean range is now 1, the bonus 0.25: too little
    assert router.transform(0, given, LAST_TWO_HELD) is given


def test_other_tokens_of_the_pass_keep_their_routing() -> None:
    given = routing_of(LOGITS, [5.0, 4.0, 0.0, 0.0])
    routed = CacheConditional(0.25, 1, SHAPE).transform(0, given, LAST_TWO_HELD)
    assert routed.experts.tolist() == [[0, 2], [0, 1]]
    assert routed.weights[1].tolist() == given.weights[1].tolist()


def test_nothing_changes_without_a_bonus_residents_or_logits() -> None:
    given, router = routing_of(LOGITS), CacheConditional(0.25, 1, SHAPE)
    assert CacheConditional(0.0, 1, SHAPE).transform(0, given, LAST_TWO_HELD) is given
    assert router.transform(0, given, Holding([[0] * 4])) is given
    unread = Routing(given.experts, given.weights)
    assert router.transform(0, unread, LAST_TWO_HELD) is unread


def test_a_router_that_is_no_top_k_of_its_logits_is_left_alone() -> None:
    given = routing_of(LOGITS)
    given.experts[:] = [[3, 1]]
    assert CacheConditional(0.25, 1, SHAPE).transform(0, given, LAST_TWO_HELD) is given


def test_it_misses_less_than_lru_and_less_with_a_larger_bonus() -> None:
    trace = cut(bundled_trace("books"), 16, 24)

    def misses(*words: str) -> int:
        config = compose([*words, "device=rtx4090", "memory.device=48GB"])
        _, assembly = replay_setup(trace, config.setup(), config.geometry, 40)
        return assembly.metrics.decode.misses[0]

    counts = [misses("policy=cache_conditional", f"router.bonus={bonus}") for bonus in (0, 0.1, 0.5)]
    assert counts[0] == misses("policy=lru")
    assert counts[0] > counts[1] > counts[2]


@pytest.mark.parametrize("options", [{"bonus": -1.0}, {"bonus": float("nan")}, {"top_j": 3}, {"top_j": -1}])
def test_options_that_make_no_sense(options: dict[str, float], context: Context) -> None:
    with pytest.raises(ConfigError, match="must"):
        CacheConditionalComponent(**options).build(context)  # type: ignore[arg-type]


def test_variants_keep_the_contract() -> None:
    check_component(CacheConditionalComponent(bonus=10.0, top_j=0))
