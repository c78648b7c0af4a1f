"""Scores of a trace's selections: what the runtime makes of the same tokens, one at a time."""

from __future__ import annotations

import pytest

from hobbit.runtime import demands_from
from hobbit.trace import selection_scores
from tests.trace.samples import small_trace


def test_scores_are_those_of_decoding() -> None:
    trace = small_trace()
    decoded = [
        demand.score
        for span in trace.passes()
        if span.stop - span.start == 1
        for routing in trace.routings(span, 0)
        for demand in demands_from(routing)
    ]
    assert selection_scores(trace, decode_only=True).tolist() == pytest.approx(decoded)


def test_prompts_count_like_generated_tokens() -> None:
    trace = small_trace()
    scores = selection_scores(trace)
    assert scores.size == trace.experts.size
    assert (scores[::2] == 0).all()  # first choices, of two
    assert scores[1::2].min() >= 0.5
