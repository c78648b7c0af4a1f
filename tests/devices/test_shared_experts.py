"""Experts that host and device share: the parts add up, whatever the timing, and every blob is given back."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hobbit_devices.gpu_costs import HostCost
from hobbit_devices.host_kernels.compiled_lane import CompiledLane
from hobbit_devices.host_kernels.loading import load
from hobbit_devices.upload_ring import ROWS
from hypothesis import given, settings
from hypothesis import strategies as st

from hobbit.api import Copy, ExpertKey, Job, LayerShares, SlotLayout
from tests.devices.conftest import SLOTS, Experts
from tests.devices.layers import Layer
from tests.devices.stand_in_device import StandIn
from tests.devices.stand_in_streams import Moment, StandInStreams
from tests.devices.test_streamed_device import Counting, prepared

KERNELS, _ = load()
pytestmark = pytest.mark.skipif(KERNELS is None, reason="int4 is parted by compiled host kernels alone")

EXPERTS = Experts(pin=False)
HIGH, LOW = 0, 1
LAYERS = 2 * ROWS
"""More than the rows in which the device finds what to read."""


def one_pass(device: Any, layer: Any, shares: dict[int, float], level: int) -> None:
    """A pass of one layer whose experts in `shares` run where they lie, the others from slots."""
    tokens = len(layer.hidden)
    device.begin_pass(tokens, 0)
    device.begin_layer(0, tokens, 0)
    lying = [expert for expert in layer.chosen if expert in shares]
    device.run_host(0, [Job(ExpertKey(0, e, level), -1, 1, shares[e]) for e in lying], layer)
    copies = [
        EXPERTS.copy(ExpertKey(0, expert, level), slot)
        for slot, expert in enumerate(expert for expert in layer.chosen if expert not in shares)
    ]
    for copy in copies:
        device.load(copy)
    device.wait(copies)
    if copies:
        device.run(0, [Job(copy.key, copy.slot, 1) for copy in copies], layer)
    device.end_layer(0)
    device.end_pass(tokens)


def served(layer: Layer, shares: dict[int, float], level: int, **how: Any) -> tuple[torch.Tensor, Any]:
    """One layer whose experts in `shares` run where they lie, the others from slots; and the report."""
    source = Counting(how.pop("at_hand", True))
    component = StandIn(fused=True, kernels=KERNELS, **how)
    device = prepared(component, source)
    one_pass(device, layer, shares, level)
    report = device.report()
    device.close()
    assert not any(source.lent.values()), "every blob is given back"
    component.built[0].close()
    assert layer.output is not None
    return layer.output, report


def many(level: int, **how: Any) -> list[torch.Tensor]:
    """One token after another on one device: some experts shared, the others from slots."""
    source, outputs = Counting(), []
    component = StandIn(fused=True, **{"kernels": KERNELS, **how})
    device = prepared(component, source)
    for number in range(LAYERS):
        layer: Any = Layer(number, 1)
        layer.host_hidden = layer.hidden if number % 2 else None
        shares = dict.fromkeys(layer.chosen[: 1 + number % 3], 0.3 * (number % 4))
        one_pass(device, layer, shares, level)
        torch.testing.assert_close(layer.output, whole(Layer(number, 1), level), rtol=3e-2, atol=3e-2)
        outputs.append(layer.output)
    device.close()
    assert not any(source.lent.values()), "every blob is given back"
    component.built[0].close()
    return outputs


def whole(layer: Layer, level: int) -> torch.Tensor:
    return layer.expected({e: EXPERTS.decoded(ExpertKey(0, e, level)) for e in layer.chosen})


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 99),
    st.sampled_from([HIGH, LOW]),
    st.lists(st.floats(0, 1), min_size=6, max_size=6),
    st.sets(st.integers(0, 5), min_size=1),
    st.integers(0, 10**6),
)
def test_parts_add_up_to_the_whole(
    layer_seed: int, level: int, shares: list[float], lying: set[int], seed: int
) -> None:
    chosen = {expert: shares[expert] for expert in lying}
    found, _ = served(Layer(layer_seed, 1), chosen, level, inline=False, seed=seed)
    torch.testing.assert_close(found, whole(Layer(layer_seed, 1), level), rtol=3e-2, atol=3e-2)
    again, _ = served(Layer(layer_seed, 1), chosen, level)
    assert torch.equal(found, again), "the timing leaves no trace"


@pytest.mark.parametrize("level", [HIGH, LOW])
@pytest.mark.parametrize("kernels", [True, False])
def test_layer_after_layer_has_the_same_bits_again(level: int, kernels: bool) -> None:
    how = {} if kernels else {"kernels": None}
    plain = many(level, **how)
    for seed in range(2):
        again = many(level, inline=False, seed=seed, **how)
        assert all(map(torch.equal, plain, again)), "the timing leaves no trace"


@pytest.mark.parametrize("level", [HIGH, LOW])
def test_both_read_their_part_of_the_bytes(level: int) -> None:
    layer = Layer(3, 1)
    nbytes = EXPERTS.layouts[level].nbytes
    _, report = served(layer, dict.fromkeys(range(6), 0.0), level)
    assert report.moved_bytes == {"link": len(layer.chosen) * nbytes, "host": 0}
    _, report = served(layer, dict.fromkeys(range(6), 1.0), level)
    assert report.moved_bytes == {"link": 0, "host": len(layer.chosen) * nbytes}
    if level == HIGH:  # 64 units, parted at multiples of 16; those of int4 at groups of 64
        _, report = served(layer, dict.fromkeys(range(6), 0.7), level)
        assert report.moved_bytes["host"] == 3 * report.moved_bytes["link"]


@pytest.mark.parametrize("how", [{"pageable": True}, {"at_hand": False}])
def test_what_the_device_cannot_reach_the_host_runs_whole(how: dict[str, bool]) -> None:
    layer = Layer(5, 1)
    found, report = served(layer, dict.fromkeys(layer.chosen[:2], 0.5), HIGH, **how)
    torch.testing.assert_close(found, whole(Layer(5, 1), HIGH), rtol=3e-2, atol=3e-2)
    assert report.moved_bytes["host"] == 2 * EXPERTS.layouts[HIGH].nbytes


def test_several_tokens_leave_all_to_the_host() -> None:
    layer = Layer(7, 5)
    found, report = served(layer, dict.fromkeys(layer.chosen, 0.5), HIGH)
    torch.testing.assert_close(found, whole(Layer(7, 5), HIGH), rtol=3e-2, atol=3e-2)
    assert report.moved_bytes["host"] == len(layer.chosen) * EXPERTS.layouts[HIGH].nbytes


def test_the_device_says_what_it_reads_in_place() -> None:
    device = prepared(StandIn(fused=True, kernels=KERNELS), EXPERTS.store)
    assert [device.costs.in_place_ns(level, 1) for level in (HIGH, LOW)] == [
        device.costs.copy_ns(level) for level in (HIGH, LOW)
    ]
    assert device.costs.in_place_ns(HIGH, 2) is None
    device.close()
    for component, source in (
        (StandIn(fused=True, pageable=True), EXPERTS.store),
        (StandIn(fused=False), EXPERTS.store),
        (StandIn(fused=True), Counting(at_hand=False)),
    ):
        device = prepared(component, source)
        assert device.costs.in_place_ns(HIGH, 1) is None
        device.close()


def test_measured_rates_have_one_for_reading_in_place() -> None:
    context = EXPERTS.context
    context.deterministic = False
    device = StandIn(fused=True).build(context)
    device.prepare(SlotLayout((SLOTS, SLOTS), EXPERTS.layouts), EXPERTS.quantizer, EXPERTS.store)
    assert device.costs.in_place_ns(HIGH, 1) is not None
    assert any("read in place" in note for note in context.notes)
    device.close()


@pytest.mark.parametrize("kernels", [True, False])
def test_a_layer_that_is_over_keeps_no_blob_from_the_next_ones_copies(kernels: bool) -> None:
    source, component = Counting(), StandIn(fused=True, inline=False, kernels=KERNELS if kernels else None)
    device, layer = prepared(component, source), Layer(4, 1)
    payload: Any = layer
    device.begin_pass(1, 0)
    device.begin_layer(0, 1, 0)
    device.run_host(0, [Job(ExpertKey(0, e, HIGH), -1, 1, 0.5) for e in layer.chosen], payload)
    device.end_layer(0)
    assert set((+source.lent).values()) == {1}, "asked for once, by host and device together"
    component.built[0].finish()
    device.begin_layer(1, 1, 0)
    assert not any(source.lent.values())
    device.close()
    component.built[0].close()


class Clockwork(StandInStreams):
    """Whatever lies between two marks takes 3 ms."""

    def between_ns(self, first: Moment, second: Moment) -> int:
        return 3_000_000


def test_the_share_follows_what_host_and_link_took(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two experts of 3 ms by each side were foreseen, half by half; the host is thrice as fast in truth."""
    monkeypatch.setattr("tests.devices.stand_in_device.StandInStreams", Clockwork)
    busy = iter(range(0, 10**12, 1_000_000))
    monkeypatch.setattr(CompiledLane, "busy_ns", property(lambda lane: next(busy)))
    context = EXPERTS.context
    context.deterministic = False
    device = StandIn(fused=True, kernels=KERNELS).build(context)
    device.prepare(SlotLayout((SLOTS, SLOTS), EXPERTS.layouts), EXPERTS.quantizer, EXPERTS.store)
    costs: Any = device.costs
    costs.hosts[HIGH], costs.in_place[HIGH] = HostCost(3_000_000, 0), 3_000_000
    layer: Any = Layer(1, 1)

    def halves() -> None:
        device.begin_pass(1, 0)
        device.begin_layer(0, 1, 0)
        jobs = [Job(ExpertKey(0, e, HIGH), -1, 1, 0.5) for e in layer.chosen[:2]]
        device.run_host(0, jobs, layer)
        device.end_layer(0)
        device.end_pass(1)

    shares, misses = LayerShares(costs), ((HIGH, 1), (HIGH, 1))
    assert shares(1, (), misses) == 0.5
    for _ in range(60):
        halves()  # the host's half of both takes 1 ms where 3 were foreseen, the link's 3
    assert shares(1, (), misses) == pytest.approx(0.75, abs=0.02)
    device.begin_pass(5, 0)
    costs.host_scales.values = [1.0, 1.0]
    several: Any = Layer(2, 5)
    device.run_host(0, [Job(ExpertKey(0, several.chosen[0], HIGH), -1, 5)], several)
    device.end_layer(0)
    device.end_pass(5)
    device.begin_pass(1, 5)
    assert costs.host_scales.values == [1.0, 1.0], "others' time says nothing of one token's"
    device.close()


def test_a_pass_that_breaks_off_gives_its_blobs_back() -> None:
    source = Counting()
    device = prepared(StandIn(fused=True), source)
    layer: Any = Layer(1, 1)
    device.begin_pass(1, 0)
    device.run_host(0, [Job(ExpertKey(0, layer.chosen[0], 0), -1, 1, 0.5)], layer)
    device.begin_pass(1, 0)
    other: Any = Layer(2, 1)
    copies = [Copy(ExpertKey(0, e, 0), slot, True, 1) for slot, e in enumerate(other.chosen)]
    for copy in copies:
        device.load(copy)
    device.wait(copies)
    device.run(0, [Job(copy.key, copy.slot, 1) for copy in copies], other)
    device.end_layer(0)
    device.end_pass(1)
    assert other.output is not None and torch.equal(other.output, whole(Layer(2, 1), HIGH))
    device.close()
    assert not any(source.lent.values())
