"""A queue of requests: every token runs once and in its turn, with what it was routed to."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hobbit_baselines.first_come import FirstCome

from hobbit.api import no_past
from hobbit.config.compose import compose
from hobbit.errors import ConfigError, TraceError
from hobbit.tasks.replays import replay_setup
from hobbit.trace import Trace, bundled_trace
from hobbit.trace.cut import joined, pieces
from hobbit.trace.queue import queued
from hobbit.types import RoutingShape

PROMPT, DECODE = 8, 4


@pytest.fixture(scope="module")
def requests() -> Trace:
    """Five requests of 8 + 4 tokens; the ids are the tokens' places, to know them again."""
    trace = pieces(bundled_trace("books"), PROMPT, DECODE, 5)
    return replace(trace, token_ids=np.arange(trace.tokens, dtype=np.int32))


def test_pieces_are_cut_one_after_another_from_every_sequence() -> None:
    trace = bundled_trace("books")
    both = pieces(trace, 16, 32, 2)
    lengths = trace.lengths.tolist()
    assert lengths[0] == 48, "so that the second piece is the start of the second sequence"
    assert (both.sequences, both.lengths.tolist()) == (2, [48, 48])
    assert np.array_equal(both.experts[48:], trace.experts[48:96])
    assert [span.stop - span.start for span in both.passes([1])] == [16] + [1] * 32
    with pytest.raises(
        TraceError, match="holds 1 requests of 128 \\+ 128 tokens, fewer than 2; let fewer wait"
    ):
        pieces(trace, 128, 128, 2)


@pytest.mark.parametrize(("waiting", "budget"), [(1, 1), (2, 2), (3, 2), (5, 16)])
def test_every_token_runs_once_after_those_before_it(requests: Trace, waiting: int, budget: int) -> None:
    queue = queued(requests, waiting, budget, FirstCome())
    assert sorted(queue.token_ids.tolist()) == list(range(requests.tokens))
    for request in range(5):
        mine = queue.token_ids // (PROMPT + DECODE) == request
        assert (np.diff(queue.token_ids[mine]) > 0).all()
    assert np.array_equal(queue.experts, requests.experts[queue.token_ids])
    assert queue.lookahead is not None and requests.lookahead is not None
    assert np.array_equal(queue.lookahead, requests.lookahead[queue.token_ids])
    for span in queue.passes():
        ids = queue.token_ids[span.start : span.stop]
        if span.context == 0:
            assert len(ids) == PROMPT and span.requests == 1
        else:
            assert len(ids) == span.requests <= min(budget, waiting)
            assert span.context == (ids % (PROMPT + DECODE)).sum(), "what each has in the KV cache"
    assert queue.kv_tokens == waiting * (PROMPT + DECODE)


def test_the_next_in_line_takes_the_place_of_who_has_ended(requests: Trace) -> None:
    queue = queued(requests, 2, 2, FirstCome())
    prompts = [n for n, span in enumerate(queue.passes()) if span.context == 0]
    assert prompts == [0, 1, 6, 7, 12], "two prompts, four rounds, two prompts, four rounds, the last"


def test_a_queue_of_one_is_served_as_without_one(requests: Trace) -> None:
    alone = pieces(requests, PROMPT, DECODE, 1)
    config = compose(["policy=lfu", "device=rtx4090"])
    plain, _ = replay_setup(alone, config.setup(), config.geometry, 12, no_past)
    queue = queued(alone, 1, 16, FirstCome())
    assert replay_setup(queue, config.setup(), config.geometry, 12, no_past)[0] == plain
    assert (plain.batch_tokens, plain.batch_experts) == (1, 2)


@pytest.mark.parametrize("policy", ["on_demand", "hobbit", "mixtral_offloading", "moe_infinity", "belady"])
def test_every_policy_serves_a_queue_the_same_twice(requests: Trace, policy: str) -> None:
    config = compose([f"policy={policy}", "device=orin", "workload.waiting=5", "workload.budget=4"])
    runs = [replay_setup(requests, config.setup(), config.geometry, 0)[0] for _ in range(2)]
    assert runs[0] == runs[1]
    assert runs[0].decode_tokens == 5 * DECODE
    assert runs[0].prefill_tokens == 5 * PROMPT
    assert runs[0].batch_tokens == 2.5, "rounds of 4 and 1"
    assert 2 < runs[0].batch_experts <= 5


def test_more_waiting_than_there_are_is_refused(requests: Trace) -> None:
    config = compose(["device=orin", "workload.waiting=6"])
    with pytest.raises(ConfigError, match=r"workload.waiting=6, but the routing has 5 sequences"):
        replay_setup(requests, config.setup(), config.geometry, 0)


def test_passes_of_several_tokens_and_lost_tokens_are_refused(requests: Trace) -> None:
    broken = replace(requests, pass_starts=np.array([0, 8, 10, *range(12, 60)], np.int64))
    with pytest.raises(TraceError, match="sequence 0 decodes several tokens in one pass"):
        queued(broken, 2, 2, FirstCome())

    class Loses:
        def arrange(self, routes, budget):  # type: ignore[no-untyped-def]
            return [[0]]

    with pytest.raises(ConfigError, match="each of 2 tokens once, but gave"):
        queued(requests, 2, 2, Loses())


def test_the_shape_stays(requests: Trace) -> None:
    queue = queued(joined([requests, requests]), 10, 3, FirstCome())
    assert queue.header.shape == RoutingShape(32, 8, 2)
    with pytest.raises(TraceError, match="one sequence"):
        list(queue.passes([1]))
