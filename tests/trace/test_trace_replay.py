"""Replay: the runtime hears of what the trace holds, in its order, and refuses a trace that does not fit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest

from hobbit.assembly import Assembly, assemble
from hobbit.config.compose import compose
from hobbit.errors import TraceError
from hobbit.runtime import LayerEvent, Observer
from hobbit.trace import Trace, generate
from hobbit.trace.replay import future_of, replay
from hobbit.types import RoutingShape
from tests.trace.samples import STATISTICS, small_trace


class Witness(Observer):
    """Writes down what the runtime tells."""

    def __init__(self) -> None:
        self.sequences = 0
        self.passes: list[tuple[int, int]] = []
        self.flat: list[int] = []

    def begin_sequence(self) -> None:
        self.sequences += 1

    def begin_pass(self, tokens: int, context: int, requests: int) -> None:
        self.passes.append((tokens, context))

    def layer(self, event: LayerEvent) -> None:
        self.flat += [event.layer * 8 + demand.expert for demand in event.demands]


def assembled(
    policy: str, trace: Trace, witness: Witness, future: npt.NDArray[np.int64] | None = None
) -> Assembly:
    """`policy` on a simulated card, over the trace's shape with Mixtral's sizes."""
    config = compose([f"policy={policy}", "device=sim", "memory.device=6GB"])
    shape = trace.header.shape
    geometry = replace(config.geometry, layers=shape.layers, experts=shape.experts, top_k=shape.top_k)
    return assemble(config.setup(), geometry, tokens=64, observers=[witness], future=future)


@pytest.mark.parametrize("policy", ["on_demand", "lru", "belady", "hobbit"])
def test_the_runtime_hears_the_whole_trace(policy: str) -> None:
    trace, witness = small_trace(), Witness()
    future = future_of(trace)
    replay(trace, assembled(policy, trace, witness, future).runtime)
    assert witness.sequences == 2
    assert witness.passes == [
        (16, 0),
        *((1, 16 + i) for i in range(12)),
        (5, 0),
        *((1, 5 + i) for i in range(8)),
    ]
    assert witness.flat == future.tolist()


def test_one_sequence_alone() -> None:
    trace, witness = small_trace(), Witness()
    replay(trace, assembled("lru", trace, witness).runtime, [1])
    assert witness.sequences == 1
    assert witness.flat == future_of(trace, [1]).tolist()


def test_a_replay_repeats_itself() -> None:
    trace, runs = small_trace(), []
    for _ in range(2):
        assembly = assembled("hobbit", trace, Witness())
        replay(trace, assembly.runtime)
        runs.append((assembly.metrics.prefill, assembly.metrics.decode))
    assert runs[0] == runs[1]


def test_traces_that_do_not_fit() -> None:
    trace, witness = small_trace(), Witness()
    assembly = assembled("hobbit", trace, witness)
    depth = assembly.runtime.depth
    blind = generate(trace.header.shape, replace(STATISTICS, lookahead=()), ((4, 4),))
    with pytest.raises(TraceError, match=f"looks 0 layers ahead, the policy wants {depth}"):
        replay(blind, assembly.runtime)
    with pytest.raises(TraceError, match="5 layers of 8 experts, top-2, the run 4 layers"):
        replay(generate(RoutingShape(5, 8, 2), STATISTICS, ((4, 4),)), assembly.runtime)
    assert not witness.passes


def test_a_router_transform_needs_logits() -> None:
    trace = small_trace()
    dumb = replace(trace, header=replace(trace.header, depth=0), logits=None, lookahead=None)
    assembly = assembled("lru", trace, Witness())
    assembly.runtime.router.needs_logits = True
    with pytest.raises(TraceError, match="no router logits"):
        replay(dumb, assembly.runtime)
