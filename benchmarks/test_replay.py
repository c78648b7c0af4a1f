"""A whole replay: 1,000 tokens x 32 layers, the trace's slicing included."""

from __future__ import annotations

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.conftest import Build
from hobbit.trace import Trace
from hobbit.trace.replay import replay


@pytest.mark.parametrize("policy", ["hobbit", "lru", "mixtral_offloading"])
def test_replay(benchmark: BenchmarkFixture, build: Build, trace: Trace, policy: str) -> None:
    benchmark.pedantic(replay, setup=lambda: ((trace, build(policy).runtime), {}), rounds=3)


def test_slice(benchmark: BenchmarkFixture, trace: Trace) -> None:
    """All passes of the trace as routings, with three layers of look-ahead."""

    def slices() -> None:
        for span in trace.passes():
            trace.routings(span, 3)

    benchmark.pedantic(slices, rounds=5)
