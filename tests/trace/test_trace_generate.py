"""Generated routing has the statistics it was asked for, in every shape."""

from __future__ import annotations

import numpy as np
import pytest

from hobbit.errors import TraceError
from hobbit.trace import RoutingStatistics, generate, measure
from hobbit.types import RoutingShape
from tests.trace.samples import STATISTICS, assert_same, small_trace

WANTED = RoutingStatistics((0.2, 0.35, 0.4, 0.3), (0.45, 0.5), 0.68, (0.95, 0.9, 0.85, 0.8))


@pytest.mark.parametrize(
    "shape", [RoutingShape(8, 8, 2), RoutingShape(12, 16, 2), RoutingShape(9, 64, 6), RoutingShape(6, 128, 8)]
)
def test_measured_statistics_are_the_wanted_ones(shape: RoutingShape) -> None:
    trace = generate(shape, WANTED, ((64, 128), (96, 96)), seed=5)
    found = measure(trace)
    depth = np.linspace(0, 1, shape.layers)
    assert found.repeats == pytest.approx(np.interp(depth, [0, 1 / 3, 2 / 3, 1], WANTED.repeats), abs=0.02)
    assert found.skew == pytest.approx(np.interp(depth, [0, 1], WANTED.skew), abs=0.02)
    assert found.margin == pytest.approx(WANTED.margin, abs=0.01)
    assert found.lookahead == pytest.approx(WANTED.lookahead, abs=0.01)
    assert trace.header.shape == shape
    assert trace.header.synthetic
    assert RoutingStatistics.from_json(trace.header.details["statistics"]) == WANTED


def test_a_generated_trace_breeds_true() -> None:
    found = measure(small_trace())
    again = measure(generate(RoutingShape(4, 8, 2), found, ((128, 128),), seed=9))
    assert again.repeats == pytest.approx(found.repeats, abs=0.03)
    assert again.skew == pytest.approx(found.skew, abs=0.02)
    assert again.lookahead == pytest.approx(found.lookahead, abs=0.02)


def test_the_seed_decides() -> None:
    shape, sequences = RoutingShape(4, 8, 2), ((16, 12), (5, 8))
    assert_same(generate(shape, STATISTICS, sequences, seed=3), small_trace())
    assert not np.array_equal(generate(shape, STATISTICS, sequences, seed=4).experts, small_trace().experts)


def test_routing_is_legal() -> None:
    trace = small_trace()
    assert trace.weights.sum(axis=2) == pytest.approx(1.0)
    assert (np.diff(trace.weights, axis=2) <= 0).all()
    assert (trace.experts[..., 0] != trace.experts[..., 1]).all()
    assert trace.lookahead is not None
    assert not trace.lookahead[:, -1].any()


def test_statistics_out_of_reach_are_met_nearly() -> None:
    even = RoutingStatistics((0.0,), (0.25,), 0.5, (1.0,))
    found = measure(generate(RoutingShape(2, 8, 2), even, ((64, 64),)))
    assert max(found.repeats) < 0.25
    assert max(found.skew) < 0.4
    assert found.margin < 0.52
    assert found.lookahead[0] > 0.98


@pytest.mark.parametrize("shape", [RoutingShape(1, 1, 1), RoutingShape(2, 4, 4), RoutingShape(3, 8, 1)])
def test_odd_shapes(shape: RoutingShape) -> None:
    found = measure(generate(shape, STATISTICS, ((20, 20),)))
    assert len(found.repeats) == shape.layers
    assert len(found.lookahead) == min(3, shape.layers - 1)


def test_what_cannot_be_generated() -> None:
    with pytest.raises(TraceError, match="prompt"):
        generate(RoutingShape(2, 8, 2), STATISTICS, ((0, 5),))
    with pytest.raises(TraceError, match="4 experts cannot choose 6"):
        generate(RoutingShape(2, 4, 6), STATISTICS)
    pairs = generate(RoutingShape(2, 8, 2), STATISTICS, ((1, 0), (1, 0)))
    with pytest.raises(TraceError, match="two tokens"):
        measure(pairs)
