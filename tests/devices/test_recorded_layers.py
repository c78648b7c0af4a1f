"""Layers whose experts are launched by a recording: the bits of layers launched one by one."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hobbit_devices.cuda import CudaDevice
from hypothesis import given, settings
from hypothesis import strategies as st

from hobbit.api import ExpertKey, Job, RecordingDevice, SlotLayout
from tests.devices.conftest import SLOTS, Experts
from tests.devices.layers import Layer, serve
from tests.devices.stand_in_device import StandIn

EXPERTS = Experts(pin=False)
FATES = ["load", "prefetch", "host", "skip", "cancelled"]

plans = st.lists(
    st.tuples(st.integers(0, 99), st.lists(st.sampled_from(FATES), min_size=6, max_size=6)),
    min_size=1,
    max_size=5,
)


def warmed(component: Any, experts: Experts = EXPERTS) -> Any:
    """A device that has served a layer, as any has before a step is recorded."""
    device = component.build(experts.context)
    device.prepare(SlotLayout((SLOTS, SLOTS), experts.layouts), experts.quantizer, experts.store, 1000)
    assert isinstance(device, RecordingDevice) and device.recorded("silu", 1, 3) is None
    step(experts, device, Layer(100, 1).to(device.torch_device), ["load"] * 6, 0)
    return device


def step(experts: Experts, device: Any, layer: Layer, fates: list[str], seed: int) -> torch.Tensor:
    device.begin_pass(1, 0)
    device.begin_layer(0, 1, 0)
    return serve(experts, device, 0, layer, fates, seed)


@settings(max_examples=60, deadline=None)
@given(plans, st.integers(0, 10**6))
def test_a_recording_gives_the_bits_of_launches(plan: list[tuple[int, list[str]]], seed: int) -> None:
    component = StandIn(fused=True, inline=False, seed=seed)
    device = warmed(component)
    for number, fates in plan:
        layer = Layer(number, 1)
        layer.recorded = device.recorded("silu", 1, 3)
        assert layer.recorded is not None
        expected = step(EXPERTS, device, layer, fates, number)
        output = layer.recorded(layer.hidden)  # as a replay would, once `end_layer` has been called
        device.end_pass(1)
        assert torch.equal(output, expected)
    device.close()
    component.built[0].close()


@pytest.mark.parametrize("seed", range(4))
def test_waves_through_one_slot_run_before_the_recording(seed: int) -> None:
    component = StandIn(fused=True, inline=False, seed=seed)
    device = warmed(component)
    layer = Layer(seed, 1)
    layer.recorded = device.recorded("silu", 1, 3)
    device.begin_pass(1, 0)
    device.begin_layer(0, 1, 0)
    ran = {}
    payload: Any = layer
    for expert in layer.chosen:
        key = ExpertKey(0, expert, seed % 2)
        ran[expert] = EXPERTS.decoded(key)
        copy = EXPERTS.copy(key, 0)
        device.load(copy)
        device.wait([copy])
        device.run(0, [Job(key, 0, 1)], payload)
    device.end_layer(0)
    assert layer.recorded is not None
    output = layer.recorded(layer.hidden)
    device.end_pass(1)
    assert torch.equal(output, layer.expected(ran))
    device.close()
    component.built[0].close()


def test_a_layer_that_asks_for_nothing_adds_nothing() -> None:
    device = warmed(StandIn(fused=True))
    layer = Layer(1, 1)
    layer.recorded = device.recorded("silu", 1, 3)
    step(EXPERTS, device, layer, ["load"] * 6, 1)
    device.begin_layer(1, 1, 0)  # all of its experts are skipped: no call but these
    device.end_layer(1)
    assert layer.recorded is not None
    assert not layer.recorded(layer.hidden).any()
    device.close()


@pytest.mark.parametrize(
    ("activation", "tokens"),
    [("gelu", 1), (None, 1), ("silu", 2)],
    ids=["other maths", "unknown", "two tokens"],
)
def test_what_is_not_recorded(activation: str | None, tokens: int) -> None:
    device = warmed(StandIn(fused=True))
    assert device.recorded(activation, tokens, 3) is None
    device.close()
    plain = StandIn(fused=False).build(EXPERTS.context)
    plain.prepare(SlotLayout((SLOTS, SLOTS), EXPERTS.layouts), EXPERTS.quantizer, EXPERTS.store, 0)
    assert plain.recorded("silu", 1, 3) is None
    plain.close()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device is visible")
def test_a_graph_gives_the_bits_of_launches(pinned_experts: Any) -> None:
    device, plain = (warmed(CudaDevice(), pinned_experts) for _ in range(2))
    recorded = device.recorded("silu", 1, 3)
    hidden = torch.empty((1, 64), dtype=torch.bfloat16, device="cuda")
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        output = recorded(hidden)
    for number in range(40):
        fates = [FATES[(number * 7 + expert * expert) % len(FATES)] for expert in range(6)]
        layer, same = (Layer(number, 1).to(device.torch_device) for _ in range(2))
        layer.recorded = recorded
        hidden.copy_(layer.hidden)
        step(pinned_experts, device, layer, fates, number)
        graph.replay()
        device.end_pass(1)
        step(pinned_experts, plain, same, fates, number)
        plain.end_pass(1)
        assert torch.equal(output, same.output)
    for one in (device, plain):
        one.close()
