"""Sequences of wanted lengths, out of traces and together."""

from __future__ import annotations

import numpy as np
import pytest

from hobbit.errors import TraceError
from hobbit.trace import Trace, bundled_trace, generate, measure
from hobbit.trace.cut import cut, joined
from hobbit.types import RoutingShape

SHAPE = RoutingShape(4, 8, 2)


@pytest.fixture(scope="module")
def trace() -> Trace:
    """Three sequences: 5 + 20, 12 + 4 and 3 + 40 tokens."""
    return generate(SHAPE, measure(bundled_trace("books")), [(5, 20), (12, 4), (3, 40)])


def test_a_cut_has_the_wanted_passes_and_the_recorded_routing(trace: Trace) -> None:
    part = cut(trace, 3, 10)
    assert (part.tokens, part.sequences) == (13, 1)
    assert part.pass_starts.tolist() == [0, *range(3, 13)]
    start = int(trace.sequence_starts[2])  # the one that was recorded with a prompt of 3
    np.testing.assert_array_equal(part.experts, trace.experts[start : start + 13])


def test_without_such_a_prompt_the_shortest_that_is_long_enough_is_cut(trace: Trace) -> None:
    part = cut(trace, 10, 10)
    np.testing.assert_array_equal(part.experts, trace.experts[:20])


def test_too_short_a_trace_says_how_long_it_is(trace: Trace) -> None:
    with pytest.raises(TraceError, match="its longest sequence has 43 tokens, fewer than 40 of prompt and 4"):
        cut(trace, 40, 4)


def test_joined_traces_keep_their_sequences(trace: Trace) -> None:
    both = joined([cut(trace, 3, 10), cut(trace, 5, 5)])
    assert (both.tokens, both.sequence_starts.tolist()) == (23, [0, 13])
    assert [span.stop - span.start for span in both.passes([1])] == [5, 1, 1, 1, 1, 1]


def test_traces_of_two_models_are_not_joined(trace: Trace) -> None:
    with pytest.raises(TraceError, match="are not of one model"):
        joined([trace, bundled_trace("books")])
