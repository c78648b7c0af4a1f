"""One runtime step: `Runtime.layer` for one generated token, without tensor maths, metrics listening."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.conftest import Build
from hobbit.api import Routing
from hobbit.config.catalogue import choices
from hobbit.runtime import Runtime
from hobbit.trace import Trace

WARM_SHARE = 0.1  # of the tokens: the caches are full by then
TIMED_TOKENS = 200


def steps(runtime: Runtime, trace: Trace) -> Iterator[tuple[int, Routing, None]]:
    """The arguments of each timed step; all else that a replay does happens between them, untimed."""
    warm = WARM_SHARE * trace.tokens
    for span in trace.passes([0]):
        if span.context == 0:
            runtime.begin_sequence()
        runtime.begin_pass(span.stop - span.start, span.context)
        for layer, routing in enumerate(trace.routings(span, runtime.depth)):
            if span.stop <= warm or span.context == 0:
                runtime.layer(layer, routing, None)
            else:
                yield layer, routing, None
        runtime.end_pass()


@pytest.mark.parametrize("policy", list(choices("policy")))
def test_step(benchmark: BenchmarkFixture, build: Build, trace: Trace, policy: str) -> None:
    runtime = build(policy).runtime
    walk = steps(runtime, trace)
    rounds = TIMED_TOKENS * trace.header.layers
    benchmark.pedantic(runtime.layer, setup=lambda: (next(walk), {}), rounds=rounds)
