"""Traces for the tests: random ones of every legal form, and a small generated one."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from hypothesis import strategies as st

from hobbit.trace import RoutingStatistics, Trace, TraceHeader, generate
from hobbit.trace.bits import STORAGE
from hobbit.types import RoutingShape

STATISTICS = RoutingStatistics((0.2, 0.3, 0.4, 0.3), (0.45, 0.5), 0.68, (0.92, 0.86, 0.8))


def random_trace(
    passes: list[list[int]], shape: RoutingShape, depth: int = 2, dtype: str = "bfloat16", seed: int = 0
) -> Trace:
    """A trace of random bits; `passes` lists, for each sequence, the tokens of its passes."""
    random = np.random.default_rng(seed)
    lengths = [sum(sequence) for sequence in passes]
    flat = [tokens for sequence in passes for tokens in sequence]
    header = TraceHeader(
        "random", shape.layers, shape.experts, shape.top_k, depth, dtype, "noise", "test", seed
    )

    def floats(*dims: int) -> Any:
        return random.standard_normal(dims).astype(np.float32)

    def stored(*dims: int) -> Any:
        kind = np.dtype(STORAGE[dtype])
        return random.integers(0, 2**16, dims, np.uint16) if kind == np.uint16 else floats(*dims).astype(kind)

    tokens, layers = sum(lengths), shape.layers
    return Trace(
        header,
        random.integers(0, 4096, tokens, np.int32),
        np.cumsum([0, *flat[:-1]]),
        np.cumsum([0, *lengths[:-1]]),
        random.integers(0, shape.experts, (tokens, layers, shape.top_k)).astype(header.expert_dtype),
        floats(tokens, layers, shape.top_k),
        stored(tokens, layers, shape.experts),
        stored(tokens, layers, depth, shape.experts) if depth else None,
    )


@st.composite
def traces(draw: st.DrawFn) -> Trace:
    """Any small trace."""
    passes = draw(st.lists(st.lists(st.integers(1, 5), min_size=1, max_size=4), min_size=1, max_size=3))
    experts = draw(st.sampled_from([1, 2, 8, 300]))
    shape = RoutingShape(draw(st.integers(1, 4)), experts, draw(st.integers(1, min(experts, 3))))
    dtype = draw(st.sampled_from(sorted(STORAGE)))
    return random_trace(passes, shape, draw(st.integers(0, 3)), dtype, draw(st.integers(0, 9)))


def assert_same(one: Trace, other: Trace) -> None:
    """Headers equal, arrays equal bit for bit."""
    assert one.header == other.header
    for name in ("token_ids", "pass_starts", "sequence_starts", "experts", "weights", "logits", "lookahead"):
        a, b = getattr(one, name), getattr(other, name)
        assert (a is None) == (b is None), name
        if a is not None:
            assert (a.dtype, a.shape, a.tobytes()) == (b.dtype, b.shape, b.tobytes()), name


@cache
def small_trace() -> Trace:
    """Two generated sequences through 4 layers of 8 experts, top-2, three layers of look-ahead."""
    return generate(RoutingShape(4, 8, 2), STATISTICS, ((16, 12), (5, 8)), seed=3)
