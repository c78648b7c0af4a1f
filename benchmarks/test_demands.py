"""From routing to demands, for one token and for a prompt, and the look-ahead's predictions."""

from __future__ import annotations

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from hobbit.api import Routing
from hobbit.runtime import LogitsLookahead, demands_from

SHAPES = [(8, 2, 1), (8, 2, 128), (64, 6, 1), (64, 6, 128)]


def routing(experts: int, top_k: int, tokens: int) -> Routing:
    """What a softmax router says about random logits, which are its look-ahead too."""
    logits = np.random.default_rng(0).normal(size=(tokens, experts)).astype(np.float32)
    top = np.argsort(-logits, axis=1)[:, :top_k]
    weights = np.exp(np.take_along_axis(logits, top, axis=1))
    return Routing(top, weights / weights.sum(axis=1, keepdims=True), logits, logits[None])


@pytest.mark.parametrize(("experts", "top_k", "tokens"), SHAPES)
def test_demands(benchmark: BenchmarkFixture, experts: int, top_k: int, tokens: int) -> None:
    benchmark(demands_from, routing(experts, top_k, tokens))


@pytest.mark.parametrize(("experts", "top_k", "tokens"), SHAPES)
def test_lookahead(benchmark: BenchmarkFixture, experts: int, top_k: int, tokens: int) -> None:
    logits = routing(experts, top_k, tokens).lookahead
    assert logits is not None
    benchmark(lambda: LogitsLookahead(logits, top_k, 1).demands(1))
