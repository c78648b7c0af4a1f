"""AdapMoE's prefetching: one expert, from the nearest layer that misses one."""

from __future__ import annotations

import pytest
from hobbit_baselines.adaptive_gate import AdaptiveGate, AdaptiveGateComponent

from hobbit.api import HIGH, Context, Demand, ExpertKey, Lookahead, PrefetchPlan
from hobbit.errors import ConfigError
from hobbit.testing.stand_ins import Holding

MISSING, FIRST_HELD, BOTH_HELD = [0, 0, 0], [1, 0, 0], [1, 1, 0]


class Guess(Lookahead):
    """Expert 0, then 1, for every layer ahead."""

    depth = 3

    def demands(self, distance: int) -> list[Demand]:
        return [Demand(0, 0.6, 0.0, 1), Demand(1, 0.4, 0.6, 1)]


def plan(*ahead: list[int]) -> PrefetchPlan | None:
    return AdaptiveGate(3).plan(0, [], Guess(), Holding([MISSING, *ahead]))


def test_the_first_missing_expert_comes_and_the_others_stay() -> None:
    assert plan(MISSING, MISSING, MISSING) == PrefetchPlan([ExpertKey(1, 0, HIGH)])
    assert plan(FIRST_HELD, MISSING, MISSING) == PrefetchPlan(
        [ExpertKey(1, 1, HIGH)], [ExpertKey(1, 0, HIGH)]
    )


def test_it_looks_further_only_where_all_are_there() -> None:
    assert plan(BOTH_HELD, BOTH_HELD, MISSING) == PrefetchPlan([ExpertKey(3, 0, HIGH)])
    assert plan(BOTH_HELD, BOTH_HELD, BOTH_HELD) is None
    assert AdaptiveGate(1).plan(0, [], Guess(), Holding([MISSING, BOTH_HELD])) is None


def test_without_look_ahead_nothing_comes() -> None:
    assert AdaptiveGate(3).plan(0, [], None, Holding([MISSING])) is None


def test_a_depth_of_0_is_refused(context: Context) -> None:
    with pytest.raises(ConfigError, match="depth=0 looks nowhere"):
        AdaptiveGateComponent(depth=0).build(context)
