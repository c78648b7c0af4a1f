"""ExpertCall: what skips, other routings and orders of execution do to one layer's output."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hobbit.api import Routing
from hobbit.engine.anatomy import find_layers
from hobbit.engine.maths import ExpertMaths
from hobbit.engine.payload import ExpertCall
from hobbit.engine.weights import expert_tensors
from tests.engine.models import tiny_model

LAYER = find_layers(tiny_model())[0]
EXPERTS = LAYER.expert_count


def call_of(seed: int, tokens: int, renormalise: bool = False) -> tuple[ExpertCall, np.ndarray, tuple]:
    generator = torch.Generator().manual_seed(seed)
    hidden = torch.randn(tokens, 64, generator=generator).to(torch.bfloat16)
    index = torch.rand(tokens, EXPERTS, generator=generator).topk(3).indices
    weights = torch.rand(tokens, 3, generator=generator)
    routing = Routing(index.numpy(), weights.numpy())
    call = ExpertCall(ExpertMaths(LAYER), hidden, weights, routing, renormalise)
    return call, index.numpy(), (hidden, index, weights)


@torch.no_grad()
def eager(hidden: torch.Tensor, index: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    return LAYER.experts(hidden, index, weights)  # type: ignore[no-any-return]


def serve(call: ExpertCall, experts: list[int]) -> None:
    with torch.no_grad():
        for expert in experts:
            call.compute(expert, expert_tensors(LAYER, expert))


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 12), st.randoms(use_true_random=False))
def test_any_order_gives_the_bits_of_eager(seed: int, tokens: int, random: object) -> None:
    call, index, inputs = call_of(seed, tokens)
    order = np.unique(index).tolist()
    random.shuffle(order)  # type: ignore[attr-defined]
    serve(call, order)
    assert torch.equal(call.combine(), eager(*inputs))


@pytest.mark.parametrize("tokens", [1, 6])
def test_a_skipped_expert_is_left_out(tokens: int) -> None:
    call, index, (hidden, chosen, weights) = call_of(3, tokens)
    left_out, *rest = np.unique(index).tolist()
    call.skip(left_out)
    serve(call, rest)
    expected = eager(hidden, chosen, weights * (chosen != left_out))
    assert torch.equal(call.combine(), expected)
    assert not torch.equal(expected, eager(hidden, chosen, weights))


@pytest.mark.parametrize("tokens", [1, 6])
def test_renormalising_keeps_the_sum_of_each_tokens_weights(tokens: int) -> None:
    call, index, (hidden, chosen, weights) = call_of(3, tokens, renormalise=True)
    left_out, *rest = np.unique(index).tolist()
    call.skip(left_out)
    serve(call, rest)
    kept = weights * (chosen != left_out)
    scaled = kept * (weights.sum(-1, keepdim=True) / kept.sum(-1, keepdim=True))
    assert torch.equal(call.combine(), eager(hidden, chosen, scaled))


def test_a_token_that_loses_every_expert_gets_zero() -> None:
    call, index, _ = call_of(5, 1, renormalise=True)
    for expert in index[0].tolist():
        call.skip(expert)
    assert not call.combine().any()


@pytest.mark.parametrize("tokens", [1, 6])
def test_another_routing_takes_the_place_of_the_routers(tokens: int) -> None:
    call, _, (hidden, _, _) = call_of(3, tokens)
    _, other, (_, index, weights) = call_of(4, tokens)
    call.reroute(Routing(other, weights.numpy()))
    serve(call, np.unique(other).tolist())
    assert torch.equal(call.combine(), eager(hidden, index, weights))


def test_weights_that_are_there_already_are_not_brought_again() -> None:
    call, _, _ = call_of(3, 6)
    _, other, (_, _, weights) = call_of(4, 6)
    call.reroute(Routing(other, weights.numpy()), weights)
    assert call.weights is weights
    kept = np.zeros(other.shape, bool)
    kept[:, 0] = True
    call.reroute(Routing(other, weights.numpy(), kept=kept), weights)
    assert torch.equal(call.weights, weights * torch.from_numpy(kept))


@pytest.mark.parametrize("renormalise", [False, True])
@pytest.mark.parametrize("tokens", [1, 6])
def test_a_selection_that_is_not_kept_needs_no_expert(tokens: int, renormalise: bool) -> None:
    call, index, (hidden, chosen, weights) = call_of(3, tokens, renormalise)
    kept = np.ones(index.shape, bool)
    kept[0, 1] = kept[-1, 0] = False
    kept |= np.arange(3) == 2
    call.reroute(Routing(index, weights.numpy(), kept=kept))
    serve(call, np.unique(index[kept]).tolist())
    assert torch.equal(call.combine(), eager(hidden, chosen, weights * torch.from_numpy(kept)))


@pytest.mark.parametrize("tokens", [1, 6])
def test_what_a_device_delivers_is_the_output(tokens: int) -> None:
    call, index, (hidden, _, _) = call_of(3, tokens)
    assert torch.equal(call.hidden, hidden) and np.array_equal(call.experts, index)
    with pytest.raises(RuntimeError, match="1 chosen experts were neither"):
        call.deliver(len(np.unique(index)) - 1)
    call.deliver(len(np.unique(index))).copy_(hidden * 2)
    assert torch.equal(call.combine(), hidden * 2)


def test_a_device_sees_the_routing_in_force_and_the_weights_after_skips() -> None:
    call, index, (_, chosen, weights) = call_of(3, 1, renormalise=True)
    left_out = int(index[0, 0])
    call.skip(left_out)
    kept = weights * (chosen != left_out)
    assert torch.equal(call.weights, kept * (weights.sum() / kept.sum()))
    call, index, (_, _, weights) = call_of(3, 6)
    kept_pairs = index != index[0, 0]
    call.reroute(Routing(index, weights.numpy(), kept=kept_pairs))
    assert np.array_equal(call.experts >= 0, kept_pairs)


@pytest.mark.parametrize("forget", [lambda experts: experts[1:], lambda experts: []])
def test_an_expert_that_nobody_served_is_an_error(forget: Callable[[list[int]], list[int]]) -> None:
    call, index, _ = call_of(3, 6)
    serve(call, forget(np.unique(index).tolist()))
    with pytest.raises(RuntimeError, match="neither computed nor skipped"):
        call.combine()
