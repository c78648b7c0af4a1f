"""TraceRecorder: what goes in by layers comes out by layers, in the very same bits."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings

from hobbit.api import Routing
from hobbit.errors import TraceError
from hobbit.trace import Trace, TraceHeader, TraceRecorder
from tests.trace.samples import assert_same, small_trace, traces


def rerecord(trace: Trace) -> Trace:
    """Feed every routing of `trace` to a recorder, as a live run would."""
    recorder = TraceRecorder(trace.header)
    for span in trace.passes():
        if span.context == 0:
            recorder.begin_sequence()
        recorder.begin_pass(trace.token_ids[span.start : span.stop])
        for layer, routing in enumerate(trace.routings(span)):
            recorder.layer(layer, routing)
        recorder.end_pass()
    return recorder.trace()


def test_a_recording_of_a_trace_is_the_trace() -> None:
    assert_same(rerecord(small_trace()), small_trace())


@settings(deadline=None, max_examples=30)
@given(trace=traces())
def test_random_traces_survive(trace: Trace) -> None:
    if trace.lookahead is not None:  # entries past the last layer are zero in a recording
        for layer in range(trace.header.layers):
            trace.lookahead[:, layer, trace.header.layers - 1 - layer :] = 0
    again = rerecord(trace)
    for name in ("token_ids", "pass_starts", "sequence_starts", "experts", "weights"):
        assert np.array_equal(getattr(again, name), getattr(trace, name)), name
    assert trace.logits is not None
    assert again.logits is not None
    assert again.logits.tobytes() == trace.logits.tobytes()
    if trace.lookahead is None or trace.header.layers == 1:
        assert again.lookahead is None
    else:
        assert again.lookahead is not None
        assert again.lookahead.tobytes() == trace.lookahead.tobytes()


def test_what_a_routing_holds() -> None:
    trace = small_trace()
    prompt, first, *_ = trace.passes()
    assert (prompt.start, prompt.stop, prompt.context) == (0, 16, 0)
    assert (first.start, first.stop, first.context) == (16, 17, 16)
    for depth, shown in ((None, [3, 2, 1, 0]), (1, [1, 1, 1, 0]), (0, [0, 0, 0, 0])):
        routings = trace.routings(prompt, depth)
        assert [0 if r.lookahead is None else len(r.lookahead) for r in routings] == shown
    routing = trace.routings(prompt)[1]
    assert routing.experts.dtype == np.int64
    assert routing.weights.dtype == np.float32
    assert routing.logits is not None
    assert routing.lookahead is not None
    assert routing.logits.shape == (16, 8)
    assert routing.lookahead.shape == (2, 16, 8)
    assert np.array_equal(routing.logits.argmax(1), routing.experts[:, 0])


def test_chosen_sequences() -> None:
    trace = small_trace()
    assert [span.sequence for span in trace.passes([1])] == [1] * 9
    assert sum(span.stop - span.start for span in trace.passes()) == trace.tokens == 41
    with pytest.raises(TraceError, match=r"sequence 2 .* 0 to 1"):
        list(trace.passes([2]))


def routing(tokens: int, value: float = 1.0) -> Routing:
    logits = np.full((tokens, 4), value, np.float32)
    return Routing(np.zeros((tokens, 1), np.int64), np.ones((tokens, 1), np.float32), logits)


def test_a_recorder_refuses_what_is_out_of_turn() -> None:
    recorder = TraceRecorder(TraceHeader("m", layers=2, experts=4, top_k=1))
    with pytest.raises(TraceError, match="nothing was recorded"):
        recorder.trace()
    recorder.begin_pass([7, 8])
    with pytest.raises(TraceError, match="layer 1 with 2 tokens came where layer 0"):
        recorder.layer(1, routing(2))
    with pytest.raises(TraceError, match="with 3 tokens came"):
        recorder.layer(0, routing(3))
    recorder.layer(0, routing(2))
    with pytest.raises(TraceError, match="after 1 of 2 layers"):
        recorder.end_pass()


def test_a_recorder_keeps_copies_and_forgets_broken_passes() -> None:
    recorder = TraceRecorder(TraceHeader("m", layers=1, experts=4, top_k=1))
    shown = routing(1)
    recorder.begin_pass([5])
    recorder.layer(0, shown)
    recorder.end_pass()
    recorder.begin_sequence()
    recorder.begin_pass([6])
    shown.experts[:] = 3
    trace = recorder.trace()
    assert trace.tokens == 1
    assert trace.sequences == 1
    assert trace.experts[0, 0, 0] == 0


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize(("value", "kept"), [(0.5, True), (0.1, False), (1e30, False), (np.inf, True)])
def test_logits_are_never_rounded(dtype: str, value: float, kept: bool) -> None:
    recorder = TraceRecorder(TraceHeader("m", layers=1, experts=4, top_k=1, dtype=dtype))
    recorder.begin_pass([5])
    recorder.layer(0, routing(1, value))
    recorder.end_pass()
    trace = recorder.trace()
    assert trace.header.dtype == (dtype if kept else "float32")
    (read,) = trace.routings(next(trace.passes()))
    assert read.logits is not None
    assert (read.logits == np.float32(value)).all()


def test_look_ahead_that_no_layer_had_is_not_invented() -> None:
    recorder = TraceRecorder(TraceHeader("m", layers=2, experts=4, top_k=1, depth=1))
    recorder.begin_pass([5])
    for layer in range(2):
        recorder.layer(layer, routing(1))
    recorder.end_pass()
    trace = recorder.trace()
    assert trace.logits is not None
    assert trace.lookahead is None
    assert trace.header.depth == 0


def test_routers_that_cannot_be_read_leave_no_logits() -> None:
    recorder = TraceRecorder(TraceHeader("m", layers=1, experts=4, top_k=1, depth=2))
    recorder.begin_pass([5])
    recorder.layer(0, Routing(np.zeros((1, 1), np.int64), np.ones((1, 1), np.float32)))
    recorder.end_pass()
    trace = recorder.trace()
    assert trace.logits is None
    assert trace.lookahead is None
    assert trace.header.depth == 0
