"""The GPU engine on stand-in queues: right whatever the timing, and never a slot read or written too soon."""

from __future__ import annotations

from collections import Counter
from threading import Event
from time import sleep
from typing import Any

import numpy as np
import pytest
import torch
from hobbit_devices.host_kernels.host_kernels import HostKernels
from hypothesis import given, settings
from hypothesis import strategies as st

from hobbit.api import Copy, ExpertKey, Job, SlotLayout
from hobbit.testing.devices import check_device
from hobbit.testing.scene import Scene
from tests.devices.conftest import SLOTS, Experts
from tests.devices.layers import Layer, serve
from tests.devices.stand_in_device import StandIn

EXPERTS = Experts(pin=False)


class Counting:
    """A source that counts what it lends, and may keep blobs out of reach of the calling thread."""

    def __init__(self, at_hand: bool = True) -> None:
        self._at_hand = at_hand
        self.lent: Counter[ExpertKey] = Counter()

    def at_hand(self, key: ExpertKey) -> bool:
        return self._at_hand

    def blob(self, key: ExpertKey) -> torch.Tensor:
        self.lent[key] += 1
        return EXPERTS.store.blob(key)

    def release(self, key: ExpertKey) -> None:
        self.lent[key] -= 1
        assert self.lent[key] >= 0

    def expect(self, keys: Any) -> None:
        pass


def prepared(component: StandIn, source: Any, block_bytes: int = 0) -> Any:
    device = component.build(EXPERTS.context)
    device.prepare(SlotLayout((SLOTS, SLOTS), EXPERTS.layouts), EXPERTS.quantizer, source, block_bytes)
    return device


@pytest.mark.parametrize("pageable", [False, True])
def test_it_keeps_the_contract_of_devices(pageable: bool) -> None:
    check_device(StandIn(pageable=pageable), Scene(EXPERTS.geometry))


@pytest.mark.parametrize("pageable", [False, True])
@pytest.mark.parametrize("block_bytes", [0, 4096, 1000])
def test_outputs_are_those_of_the_source(block_bytes: int, pageable: bool) -> None:
    device = EXPERTS.device(StandIn(pageable=pageable, seed=1), block_bytes)
    for key, output in EXPERTS.serve(device):
        assert torch.equal(output, EXPERTS.expected(key))
    report = device.report()
    high, low = (layout.nbytes for layout in EXPERTS.layouts)
    assert report.moved_bytes == {"link": 3 * 3 * (high + low), "host": 3 * (high + low)}
    assert 0 < report.busy_ns["link"] <= report.now_ns
    assert 0 <= report.stall_ns <= report.now_ns
    device.close()


@st.composite
def passes(draw: st.DrawFn) -> list[tuple[int, int, list[str]]]:
    """Layers to serve: a seed, a number of tokens, and what becomes of each chosen expert."""
    fates = st.sampled_from(["load", "prefetch", "host", "skip", "cancelled"])
    return draw(
        st.lists(
            st.tuples(
                st.integers(0, 99),
                st.sampled_from([1, 2, 17]),
                st.lists(fates, min_size=6, max_size=6),
            ),
            min_size=1,
            max_size=5,
        )
    )


@settings(max_examples=60, deadline=None)
@given(passes(), st.integers(0, 10**6), st.sampled_from([0, 1000, 8192]), st.booleans(), st.booleans())
def test_any_order_of_events_gives_the_same_bits(
    plan: list[tuple[int, int, list[str]]], seed: int, block: int, at_hand: bool, pageable: bool
) -> None:
    source = Counting(at_hand)
    component = StandIn(fused=True, inline=False, pageable=pageable, seed=seed)
    device = prepared(component, source, block)
    served: list[tuple[Layer, torch.Tensor]] = []
    for number, (layer_seed, tokens, fates) in enumerate(plan):
        layer = Layer(layer_seed, tokens)
        device.begin_pass(tokens, 0)
        device.begin_layer(number % 2, tokens, 0)
        expected = serve(EXPERTS, device, number % 2, layer, fates, layer_seed)
        served.append((layer, expected))
    device.end_pass(1)
    for layer, expected in served:
        assert layer.output is not None and torch.equal(layer.output, expected)
    device.close()
    assert not any(source.lent.values()), "every blob is given back"
    component.built[0].close()


def test_compiled_experts_take_their_place_beside_the_device(kernels: HostKernels) -> None:
    device = prepared(StandIn(fused=True, inline=False, seed=3, kernels=kernels), Counting())
    hosted = 0
    for number, tokens in enumerate((1, 2, 17, 1)):
        layer = Layer(number, tokens)
        fates = ["host" if expert % 2 else "load" for expert in range(6)]
        device.begin_pass(tokens, 0)
        device.begin_layer(number % 2, tokens, 0)
        expected = serve(EXPERTS, device, number % 2, layer, fates, number)
        device.end_pass(1)
        assert layer.output is not None
        torch.testing.assert_close(layer.output, expected, rtol=2e-2, atol=2e-2)
        hosted += sum(expert % 2 for expert in layer.chosen)
    assert hosted and device.report().moved_bytes["host"] > 0
    device.close()


def test_an_urgent_copy_overtakes_a_prefetch_at_a_block() -> None:
    component = StandIn(inline=False)
    device = prepared(component, Counting(), block_bytes=1024)
    streams = component.built[0]
    gate = Gate(streams)
    first = EXPERTS.copy(ExpertKey(0, 0, 0), 0, urgent=False)
    device.load(first)
    gate.until_queued(2)
    urgent = EXPERTS.copy(ExpertKey(0, 1, 0), 1)
    device.load(urgent)
    gate.open()
    device.wait([urgent, first])
    device.close()
    sizes = [size for _, size in streams.moved]
    assert sizes.index(EXPERTS.layouts[0].nbytes) == 2, "two blocks were in the queue, no more"
    assert sum(sizes) == 2 * EXPERTS.layouts[0].nbytes


class Gate:
    """Holds the copy queue until opened."""

    def __init__(self, streams: Any) -> None:
        self._streams = streams
        self._event = Event()
        self._queued = 0
        streams.copies.put(lambda: self._event.wait(20))
        self._copy = streams.copy
        streams.copy = self._counting

    def _counting(self, target: torch.Tensor, source: torch.Tensor) -> None:
        self._copy(target, source)
        self._queued += 1

    def until_queued(self, blocks: int) -> None:
        for _ in range(2000):
            if self._queued >= blocks:
                return
            sleep(0.005)
        raise AssertionError(f"{self._queued} of {blocks} blocks were queued")

    def open(self) -> None:
        self._event.set()


@pytest.mark.parametrize("seed", range(5))
def test_experts_that_stay_give_the_bits_of_experts_that_are_asked_for(seed: int) -> None:
    payload = Layer(seed, tokens=1, experts=SLOTS, top_k=2)
    device = prepared(StandIn(fused=True), Counting())
    copies = [Copy(ExpertKey(0, expert, 0), expert, True, 1) for expert in range(SLOTS)]
    for copy in copies:
        device.load(copy)
    device.wait(copies)
    device.begin_pass(1, 0)
    device.begin_layer(0, 1, 0)
    device.run(0, [Job(ExpertKey(0, expert, 0), expert, 1) for expert in payload.chosen], payload)
    device.end_layer(0)
    device.end_pass(1)
    slots = np.arange(SLOTS, dtype=np.int32)[None]
    assert device.settles("silu", 1)
    experts = device.settled(slots)
    index = torch.from_numpy(payload.experts)
    assert torch.equal(experts(0, payload.hidden, index, payload.weights), payload.output)
    # Several tokens share weights, which takes the host to sort; other maths have no kernels.
    assert not device.settles("silu", 2)
    assert not device.settles(None, 1)
    device.close()
