"""What the benchmarks share: a trace of Mixtral's shape, and runtimes of a preset on the simulated Orin."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from hobbit.assembly import Assembly, assemble
from hobbit.config.compose import compose
from hobbit.trace import Trace, bundled_trace, generate, measure
from hobbit.trace.replay import future_of

Build = Callable[[str], Assembly]

PROMPT = 16
TOKENS = 1_000


@pytest.fixture(scope="session")
def trace(request: pytest.FixtureRequest) -> Trace:
    """1,000 tokens x 32 layers x 8 experts, top-2, routed like the bundled books; look-ahead of 4 layers.

    Where nothing is timed, and the benchmarks are but tried, a prompt and 8 tokens do.
    """
    option = request.config.getoption
    tried = option("benchmark_disable") and not option("benchmark_enable")
    generated = 8 if tried else TOKENS - PROMPT
    recorded = bundled_trace("books")
    return generate(recorded.header.shape, measure(recorded), ((PROMPT, generated),), seed=5)


@pytest.fixture
def build(trace: Trace) -> Build:
    """`build(policy)`: a fresh runtime of that preset, for Mixtral-8x7B, with its metrics listening."""

    def assembled(policy: str) -> Assembly:
        config = compose([f"policy={policy}", "device=orin"])
        future = future_of(trace) if config.setup().needs_future else None
        return assemble(config.setup(), config.geometry, tokens=trace.tokens, future=future)

    return assembled
