"""Past requests: what components learn from is never what they are judged on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from hobbit.api import no_past
from hobbit.trace import RoutingStatistics, bundled_trace, generate
from hobbit.trace.bundled import DOMAINS
from hobbit.trace.past import bundled_past, past_of, past_requests
from hobbit.types import RoutingShape

STATISTICS = RoutingStatistics((0.3,), (0.6,), 0.7, (0.9, 0.8))
SHAPE = RoutingShape(3, 8, 2)


def test_each_sequence_is_a_request_with_its_prompt() -> None:
    trace = generate(SHAPE, STATISTICS, ((5, 3), (2, 4)))
    requests = past_requests(trace)
    assert [(request.prompt, len(request.experts)) for request in requests] == [(5, 8), (2, 6)]
    assert np.array_equal(np.concatenate([request.experts for request in requests]), trace.experts)
    assert {request.domain for request in requests} == {"synthetic"}


def test_predictions_are_those_of_the_layer_before() -> None:
    exact = replace(STATISTICS, lookahead=(1.0,))
    (request,) = past_requests(generate(SHAPE, exact, ((16, 0),)))
    assert request.predicted is not None
    assert (request.predicted[:, 0] == -1).all()
    assert np.array_equal(request.predicted[:, 1:, 0], request.experts[:, 1:, 0])


def test_without_look_ahead_nothing_was_predicted() -> None:
    (request,) = past_requests(generate(SHAPE, replace(STATISTICS, lookahead=()), ((4, 0),)))
    assert request.predicted is None


def test_the_bundled_past_is_the_train_part_of_all_domains() -> None:
    assert {request.domain for request in bundled_past()} == set(DOMAINS)
    test = bundled_trace("books")
    rows = slice(0, min(int(np.diff(test.sequence_starts)[0]), 32))
    assert not any(np.array_equal(request.experts[rows], test.experts[rows]) for request in bundled_past())


def test_generated_routing_has_another_past_of_its_shape_and_a_users_model_none() -> None:
    trace = generate(SHAPE, STATISTICS, ((32, 32),), seed=4)
    past = past_of(trace.header)()
    assert past is past_of(trace.header)(), "generated once"
    assert {request.experts.shape[1:] for request in past} == {(3, 2)}
    assert not any(np.array_equal(request.experts, trace.experts) for request in past)
    assert past_of(replace(trace.header, origin="live")) is no_past
