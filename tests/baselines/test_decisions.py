"""The plain loader, prefetchers and router."""

from __future__ import annotations

import numpy as np
import pytest
from hobbit_baselines.next_gate import NextGate, NextGateComponent
from hobbit_baselines.no_prefetch import NoPrefetch
from hobbit_baselines.on_demand import OnDemand
from hobbit_baselines.passthrough import Passthrough

from hobbit.api import HIGH, Action, Context, Decision, Demand, ExpertKey, PrefetchPlan, Routing
from hobbit.errors import ConfigError
from hobbit.testing.stand_ins import Holding

DEMANDS = [Demand(2, 0.5, 0.0, 1), Demand(0, 0.3, 0.5, 1), Demand(1, 0.2, 0.8, 1)]


class Guess:
    """The same predictions at every distance."""

    depth = 1

    def demands(self, distance: int) -> list[Demand]:
        return DEMANDS


def test_on_demand_loads_what_is_missing_whatever_its_score() -> None:
    assert OnDemand().resolve(0, DEMANDS, [0, 1, 0]) == [
        Decision(Action.LOAD, HIGH),
        Decision(Action.USE, HIGH),
        Decision(Action.LOAD, HIGH),
    ]
    assert OnDemand().level_for(1.0) == HIGH


def test_next_gate_fetches_the_likeliest_that_are_missing() -> None:
    view = Holding([[0] * 4, [1, 0, 0, 0]])
    assert NextGate(2, 4).plan(0, DEMANDS, Guess(), view) == PrefetchPlan([ExpertKey(1, 2, HIGH)])
    assert NextGate(3, 4).plan(0, DEMANDS, Guess(), view) == PrefetchPlan(
        [ExpertKey(1, 2, HIGH), ExpertKey(1, 1, HIGH)]
    )


def test_without_look_ahead_nothing_is_fetched() -> None:
    view = Holding([[0] * 4])
    assert NextGate(2, 4).plan(0, DEMANDS, None, view) is None
    assert NoPrefetch().plan(0, DEMANDS, Guess(), view) is None


@pytest.mark.parametrize("fetch", [0, 5])
def test_next_gate_fetches_no_more_than_it_can_stage(fetch: int, context: Context) -> None:
    with pytest.raises(ConfigError, match=f"fetch={fetch} must lie between 1 and"):
        NextGateComponent(fetch=fetch).build(context)


def test_passthrough_is_the_identity() -> None:
    routing = Routing(np.array([[1, 2]]), np.array([[0.6, 0.4]], np.float32))
    assert Passthrough().transform(0, routing, Holding([])) is routing
