"""The routing of a bench: a trace's first layers, or generated."""

from __future__ import annotations

import numpy as np
import pytest

from hobbit.bench.routing import bench_routing, first_layers
from hobbit.errors import ConfigError, TraceError
from hobbit.trace import bundled_trace
from hobbit.types import RoutingShape


def test_the_first_layers_of_a_trace() -> None:
    whole = bundled_trace("books")
    part = first_layers(whole, 5)
    assert part.header.shape == RoutingShape(5, 8, 2)
    for span in list(part.passes([1]))[:3]:
        for short, full in zip(part.routings(span), whole.routings(span), strict=False):
            np.testing.assert_array_equal(short.experts, full.experts)
            if short.lookahead is not None and full.lookahead is not None:
                np.testing.assert_array_equal(short.lookahead, full.lookahead[: len(short.lookahead)])
    assert part.routings(next(part.passes()))[-1].lookahead is None


def test_recorded_where_the_trace_has_these_experts() -> None:
    found = bench_routing(bundled_trace("code"), "code", RoutingShape(4, 8, 2), 16, 8, bundled=True)
    assert not found.synthetic and found.trace.tokens == 24
    assert found.source == "code, its first 4 layers"
    assert {request.experts.shape[1] for request in found.past()} == {4}


def test_generated_for_another_shape() -> None:
    found = bench_routing(bundled_trace("code"), "code", RoutingShape(3, 16, 4), 8, 4, bundled=True)
    assert found.synthetic and found.trace.header.shape == RoutingShape(3, 16, 4)
    assert found.past()[0].experts.shape[1:] == (3, 4)


def test_lengths_that_cannot_be() -> None:
    with pytest.raises(TraceError, match="longest sequence"):
        bench_routing(bundled_trace("code"), "code", RoutingShape(4, 8, 2), 1000, 8, bundled=True)
    with pytest.raises(ConfigError, match=r"task\.prompt=0"):
        bench_routing(bundled_trace("code"), "code", RoutingShape(4, 8, 2), 0, 8, bundled=True)
