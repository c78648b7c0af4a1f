"""Token-level dynamic loading: thresholds on unimportance, worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hobbit_paper.mixed_precision import MixedPrecision, MixedPrecisionComponent
from hobbit_paper.placement import Cooperative, RunMode
from hypothesis import given
from hypothesis import strategies as st

from hobbit.api import HIGH, LOW, SKIPPED, Action, Context, Decision, Demand, Routing
from hobbit.errors import ConfigError
from hobbit.runtime.demands import demands_from
from hobbit.testing import check_component
from hobbit.testing.stand_ins import FixedCosts

USE_HIGH, USE_LOW = Decision(Action.USE, HIGH), Decision(Action.USE, LOW)
LOAD_HIGH, LOAD_LOW = Decision(Action.LOAD, HIGH), Decision(Action.LOAD, LOW)


def decide(loader: MixedPrecision, score: float, held: int, tokens: int = 1) -> Decision:
    (decision,) = loader.resolve(0, [Demand(0, 0.5, score, tokens)], [held])
    return decision


def test_a_token_of_four_experts() -> None:
    # Gate weights 0.5, 0.3, 0.15, 0.05: unimportance 0, 0.5, 0.8, 0.95.
    routing = Routing(np.array([[4, 1, 3, 2]]), np.array([[0.5, 0.3, 0.15, 0.05]], np.float32))
    decisions = MixedPrecision(0.6, 0.9).resolve(0, demands_from(routing), [0, 0, 0, 0])
    assert decisions == [LOAD_HIGH, LOAD_HIGH, LOAD_LOW, SKIPPED]


@pytest.mark.parametrize(
    ("score", "level"), [(0.0, HIGH), (0.6, HIGH), (0.61, LOW), (0.9, LOW), (0.91, None), (1.0, None)]
)
def test_thresholds_belong_to_the_higher_class(score: float, level: int | None) -> None:
    assert MixedPrecision(0.6, 0.9).level_for(score) == level


@pytest.mark.parametrize(
    ("score", "held", "decision"),
    [
        (0.0, 0b00, LOAD_HIGH),
        (0.0, 0b01, USE_HIGH),
        (0.0, 0b10, LOAD_HIGH),  # a low copy never serves a high demand
        (0.0, 0b11, USE_HIGH),
        (0.7, 0b00, LOAD_LOW),
        (0.7, 0b01, USE_HIGH),
        (0.7, 0b10, USE_LOW),
        (0.7, 0b11, USE_HIGH),
        (1.0, 0b00, SKIPPED),
        (1.0, 0b01, USE_HIGH),
        (1.0, 0b10, USE_LOW),
        (1.0, 0b11, USE_HIGH),
    ],
)
def test_what_a_resident_copy_serves(score: float, held: int, decision: Decision) -> None:
    assert decide(MixedPrecision(0.6, 0.9), score, held) == decision


def test_accept_low_lets_a_low_copy_serve_a_high_demand() -> None:
    loader = MixedPrecision(0.6, 0.9, accept_low=True)
    assert decide(loader, 0.0, 0b10) == USE_LOW
    assert decide(loader, 0.0, 0b11) == USE_HIGH
    assert decide(loader, 0.0, 0b00) == LOAD_HIGH


@given(score=st.floats(0, 1), held=st.integers(0, 1))
def test_with_t1_of_one_everything_is_high(score: float, held: int) -> None:
    loader = MixedPrecision(1.0, 0.9)
    assert loader.levels == 1
    assert decide(loader, score, held) == (USE_HIGH if held else LOAD_HIGH)


def test_with_t2_below_t1_there_is_no_low_class() -> None:
    loader = MixedPrecision(0.6, 0.0)
    assert loader.levels == 1
    assert [loader.level_for(score) for score in (0.6, 0.61)] == [HIGH, None]


def test_cooperative_runs_on_the_host_what_is_slower_to_copy() -> None:
    loader = MixedPrecision(0.6, 0.9, placement=Cooperative(FixedCosts()))
    assert decide(loader, 0.0, 0b00, tokens=5) == Decision(Action.HOST, HIGH)  # 1000 < 1000 + 10
    assert decide(loader, 0.0, 0b00, tokens=6) == LOAD_HIGH
    assert decide(loader, 0.7, 0b00, tokens=1) == Decision(Action.HOST, LOW)  # 200 < 250 + 10
    assert decide(loader, 0.7, 0b00, tokens=2) == LOAD_LOW
    assert decide(loader, 0.0, 0b01, tokens=1) == USE_HIGH
    assert decide(loader, 1.0, 0b00, tokens=1) == SKIPPED


def test_balanced_lets_link_and_host_share_the_misses_at_their_own_precision(context: Context) -> None:
    context.costs = FixedCosts()
    loader = MixedPrecisionComponent(mode=RunMode.balanced).build(context)
    high = [Demand(expert, 0.5, 0.0, 4) for expert in range(3)]  # 800 each on the host, 1000 to copy
    low = Demand(3, 0.1, 0.7, 1)  # 200 on the host, 250 to copy
    actions = [decision.action for decision in loader.resolve(0, [*high, low], [0, 0, 1, 0])]
    assert actions == [Action.HOST, Action.LOAD, Action.USE, Action.HOST]
    assert loader.resolve(0, [low], [0]) == [Decision(Action.HOST, LOW)]
    context.unified = True
    assert MixedPrecisionComponent(mode=RunMode.balanced).build(context).resolve(0, [low], [0]) == [LOAD_LOW]


def test_device_mode_asks_for_no_costs(context: Context) -> None:
    context.costs = FixedCosts()
    assert decide(MixedPrecisionComponent().build(context), 0.0, 0b00) == LOAD_HIGH


def test_variants_keep_the_contract() -> None:
    check_component(MixedPrecisionComponent(mode=RunMode.cooperative, renormalise=True))
    check_component(MixedPrecisionComponent(mode=RunMode.balanced))
    check_component(MixedPrecisionComponent(accept_low=True))
    check_component(MixedPrecisionComponent(t1=1.0))
    check_component(MixedPrecisionComponent(t2=0.0))


@pytest.mark.parametrize("options", [{"t1": -0.1}, {"t2": 1.5}, {"t2": math.nan}])
def test_thresholds_outside_the_scores_are_refused(options: dict[str, float], context: Context) -> None:
    with pytest.raises(ConfigError, match=r"outside \[0, 1\]"):
        MixedPrecisionComponent(**options).build(context)


@pytest.mark.parametrize("mode", [RunMode.cooperative, RunMode.balanced])
def test_the_host_needs_costs(mode: RunMode, context: Context) -> None:
    with pytest.raises(ConfigError, match="host costs"):
        MixedPrecisionComponent(mode=mode).build(context)
