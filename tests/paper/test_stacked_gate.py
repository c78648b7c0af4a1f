"""Adaptive prefetching: how deep it looks, what it fetches and what it keeps."""

from __future__ import annotations

import pytest
from hobbit_paper.mixed_precision import MixedPrecision
from hobbit_paper.stacked_gate import StackedGate, StackedGateComponent

from hobbit.api import HIGH, LOW, Context, Demand, ExpertKey, Lookahead, PrefetchPlan
from hobbit.errors import ConfigError
from hobbit.testing.stand_ins import Holding

TOP, SECOND, LAST = Demand(0, 0.5, 0.0, 1), Demand(1, 0.35, 0.7, 1), Demand(2, 0.15, 0.95, 1)
NOTHING = [0, 0, 0]


class Guess(Lookahead):
    """The same three predictions for every layer ahead; counts the layers asked about."""

    depth = 3

    def __init__(self) -> None:
        self.asked: list[int] = []

    def demands(self, distance: int) -> list[Demand]:
        self.asked.append(distance)
        return [TOP, SECOND, LAST]


def plan(depth: int, *layers: list[int]) -> tuple[PrefetchPlan, list[int]]:
    """Plan in layer 0, where `layers` are the masks of the layers ahead; also the distances asked about."""
    guess = Guess()
    prefetcher = StackedGate(depth, MixedPrecision(0.6, 0.9))
    found = prefetcher.plan(0, [], guess, Holding([NOTHING, *layers]))
    assert found is not None
    return found, guess.asked


def test_fetches_at_the_precision_of_the_score_and_never_the_skip_class() -> None:
    found, asked = plan(3, NOTHING, NOTHING, NOTHING)
    assert found.fetch == [ExpertKey(1, 0, HIGH), ExpertKey(1, 1, LOW)]
    assert found.keep == []
    assert asked == [1]


def test_looks_further_where_all_is_resident() -> None:
    found, asked = plan(3, [0b01, 0b10, 0], [0b01, 0, 0], NOTHING)
    assert found.keep == [ExpertKey(1, 0, HIGH), ExpertKey(1, 1, LOW), ExpertKey(2, 0, HIGH)]
    assert found.fetch == [ExpertKey(2, 1, LOW)]
    assert asked == [1, 2]


def test_a_high_copy_counts_for_a_low_prediction_but_not_the_reverse() -> None:
    found, _ = plan(1, [0b10, 0b01, 0])
    assert found.fetch == [ExpertKey(1, 0, HIGH)]
    assert found.keep == [ExpertKey(1, 1, HIGH)]


def test_stops_at_its_depth() -> None:
    resident = [0b01, 0b01, 0]
    found, asked = plan(2, resident, resident, NOTHING)
    assert found.fetch == []
    assert asked == [1, 2]


def test_looks_no_deeper_than_there_are_predictions() -> None:
    resident = [0b01, 0b01, 0]
    _, asked = plan(9, resident, resident, resident)
    assert asked == [1, 2, 3]


def test_plans_nothing_where_routers_cannot_be_read() -> None:
    assert StackedGate(3, MixedPrecision(0.6, 0.9)).plan(0, [TOP], None, Holding([NOTHING])) is None


def test_depth_must_be_positive(context: Context) -> None:
    context.loader = MixedPrecision(0.6, 0.9)
    with pytest.raises(ConfigError, match=r"prefetcher\.depth=0"):
        StackedGateComponent(depth=0).build(context)


def test_it_needs_a_loader(context: Context) -> None:
    with pytest.raises(ConfigError, match="loader"):
        StackedGateComponent().build(context)
