"""A trace's routing in the place of the routers': to the runtime and to the maths alike."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from hobbit.api import ExpertPayload, Routing
from hobbit.bench.replayed import ReplayedRouting
from hobbit.engine.resident import ResidentServer
from hobbit.trace import bundled_trace
from hobbit.trace.cut import cut

PROMPT, TOKENS = 5, 3


class Heard(ResidentServer):
    """A server that keeps what it is told."""

    def __init__(self) -> None:
        super().__init__(lambda layer, expert: {})
        self.told: list[tuple[int, Routing]] = []

    def layer(self, layer: int, routing: Routing, payload: ExpertPayload | None) -> None:
        self.told.append((layer, routing))


class Call:
    """A payload that keeps what it is given."""

    def __init__(self, tokens: int, top_k: int) -> None:
        self.weights = torch.zeros(tokens, top_k, dtype=torch.bfloat16)
        self.rerouted: Any = None

    def reroute(self, routing: Routing, weights: torch.Tensor | None = None) -> None:
        self.rerouted = routing, weights


@pytest.mark.parametrize("start", [0, 1])
def test_every_pass_gets_the_choices_and_weights_of_its_tokens(start: int) -> None:
    trace = cut(bundled_trace("books"), PROMPT, TOKENS)
    layers, top_k = trace.header.layers, trace.header.top_k
    server = Heard()
    replayed = ReplayedRouting(server, trace)
    for _ in range(2):
        replayed.begin_sequence()
        for tokens, context in [(PROMPT, 0), *((1, PROMPT + n) for n in range(TOKENS))][start:]:
            replayed.begin_pass(tokens, context)
            for layer in range(layers):
                call: Any = Call(tokens, top_k)
                replayed.layer(layer, Routing(np.zeros((tokens, top_k), np.int64), np.zeros(())), call)
                routing, weights = call.rerouted
                rows = slice(context, context + tokens)
                assert server.told[-1] == (layer, routing)
                assert np.array_equal(routing.experts, trace.experts[rows, layer])
                assert torch.equal(weights, torch.from_numpy(trace.weights[rows, layer]).bfloat16())
            replayed.end_pass()


def test_a_pass_that_the_trace_has_not_is_refused() -> None:
    replayed = ReplayedRouting(Heard(), cut(bundled_trace("books"), PROMPT, TOKENS))
    with pytest.raises(ValueError, match="no pass of 2 tokens after 5"):
        replayed.begin_pass(2, PROMPT)
