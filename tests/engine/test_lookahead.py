"""Gate look-ahead says what the later routers would say of this layer's input."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from hobbit.api import Routing
from hobbit.engine.anatomy import find_layers
from hobbit.engine.gates import LinearGate, ModuleGate, read_gate
from hobbit.engine.lookahead import GateLookahead
from hobbit.runtime import LogitsLookahead, demands_from
from tests.engine.models import FAMILIES, tiny_model

DEPTH = 2


@pytest.mark.parametrize("tokens", [1, 5])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32], ids=str)
@pytest.mark.parametrize("family", FAMILIES)
@torch.no_grad()
def test_predicted_demands_are_those_of_the_later_router(
    family: str, dtype: torch.dtype, tokens: int
) -> None:
    layers = find_layers(tiny_model(family, dtype))
    lookahead = GateLookahead(layers, DEPTH)
    state = torch.randn(tokens, 64, generator=torch.Generator().manual_seed(2)).to(dtype)
    for layer in layers[:-1]:
        logits = lookahead.logits(layer.index, state)
        assert logits is not None
        assert logits.shape == (min(DEPTH, len(layers) - 1 - layer.index), tokens, layer.expert_count)
        ahead = LogitsLookahead(logits, layer.top_k, DEPTH)
        for distance in range(1, len(logits) + 1):
            router = layers[layer.index + distance].router
            assert router is not None
            _, weights, index = router(state)
            expected = demands_from(Routing(index.numpy(), weights.float().numpy()))
            predicted = ahead.demands(distance)
            assert {d.expert: d.tokens for d in predicted} == {d.expert: d.tokens for d in expected}
            worth = {d.expert: d.weight for d in expected}
            assert all(abs(d.weight - worth[d.expert]) < 0.02 for d in predicted)


@torch.no_grad()
def test_stacked_logits_are_the_routers_own() -> None:
    layers = find_layers(tiny_model(dtype=torch.float32))
    state = torch.randn(3, 64)
    logits = GateLookahead(layers, 3).logits(0, state)
    assert logits is not None
    for ahead, layer in zip(logits, layers[1:], strict=True):
        assert layer.router is not None
        assert np.allclose(ahead, layer.router(state)[0].numpy(), atol=1e-4)


def test_nothing_lies_ahead_of_the_last_layer() -> None:
    layers = find_layers(tiny_model())
    assert (
        GateLookahead(layers, DEPTH).logits(len(layers) - 1, torch.zeros(1, 64, dtype=torch.bfloat16)) is None
    )


class SigmoidRouter(nn.Module):
    """As DeepSeek-V3's: a bias decides who is chosen, a sigmoid what they weigh."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(8, 64) * 0.3)
        self.correction = torch.linspace(-1, 1, 8)

    def forward(self, state: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        logits = state @ self.weight.T
        index = (logits.sigmoid() + self.correction).topk(2).indices
        weights = logits.sigmoid().gather(-1, index)
        return logits, weights / weights.sum(-1, keepdim=True), index


@torch.no_grad()
def test_a_router_that_is_no_softmax_is_asked_itself() -> None:
    torch.manual_seed(0)
    router = SigmoidRouter()
    gate = read_gate(router)
    assert isinstance(gate, ModuleGate)
    state = torch.randn(6, 64)
    _, weights, index = router(state)
    logits = gate.logits(state)
    top = logits.topk(2)
    assert torch.equal(top.indices.sort().values, index.sort().values)
    assert torch.allclose(top.values.softmax(-1).sort().values, weights.sort().values)


def test_what_answers_as_no_router_is_not_read() -> None:
    assert read_gate(None) is None
    assert read_gate(nn.Linear(8, 4)) is None
    assert read_gate(nn.LayerNorm(4)) is None


def test_a_router_in_float32_is_read_as_such() -> None:
    class WideRouter(nn.Linear):
        def forward(self, state: torch.Tensor):  # type: ignore[no-untyped-def, override]
            logits = state.float() @ self.weight.float().T
            weights, index = logits.softmax(-1).topk(2)
            return logits, weights, index

    gate = read_gate(WideRouter(64, 8, bias=False).to(torch.bfloat16))
    assert isinstance(gate, LinearGate)
    assert gate.weight.dtype == torch.float32


@torch.no_grad()
def test_a_router_that_answers_backwards_is_read() -> None:
    class Backwards(SigmoidRouter):
        def forward(self, state: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
            logits, weights, index = super().forward(state)
            return index, weights, logits

    torch.manual_seed(0)
    gate = read_gate(Backwards())
    torch.manual_seed(0)
    other = read_gate(SigmoidRouter())
    assert isinstance(gate, ModuleGate) and isinstance(other, ModuleGate)
    state = torch.randn(6, 64)
    assert torch.equal(gate.logits(state), other.logits(state))


@torch.no_grad()
def test_a_router_that_takes_a_tensor_of_its_block_is_read() -> None:
    """As MiniMax-M2's."""

    class Biased(SigmoidRouter):
        def forward(  # type: ignore[override]
            self, state: torch.Tensor, shift: torch.Tensor
        ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
            return super().forward(state + shift)

    block = nn.Module()
    block.shift = nn.Buffer(torch.ones(64))
    router = Biased()
    gate = read_gate(router, block)
    assert isinstance(gate, ModuleGate)
    state = torch.randn(6, 64)
    _, _, index = router(state, block.shift)
    assert torch.equal(gate.logits(state).topk(2).indices.sort().values, index.sort().values)
    assert read_gate(router) is None
