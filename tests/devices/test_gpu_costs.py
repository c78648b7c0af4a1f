"""What policies may assume of a GPU: constants, or the machine's own numbers where runs may differ."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hobbit_devices.gpu_costs import GpuCosts, HostCost
from hobbit_devices.host_kernels import FEW_TOKENS
from hobbit_devices.host_kernels.host_kernels import HostKernels
from hobbit_devices.shared_work import SharedWork

from hobbit.api import SlotLayout
from hobbit.sizes import format_size
from tests.devices.conftest import PRECISIONS, SLOTS
from tests.devices.stand_in_device import StandIn

RATES = {"link_gb_s": 2.0, "link_latency_us": 0.0, "host_gb_s": 1.0, "host_tflops": 1e6}


def prepared(
    experts: Any, deterministic: bool, pageable: bool = False, kernels: Any = None
) -> tuple[Any, list[str]]:
    context = replace(experts.context, deterministic=deterministic)
    device = StandIn(**RATES, pageable=pageable, kernels=kernels).build(context)
    device.prepare(SlotLayout((SLOTS, SLOTS), experts.layouts), experts.quantizer, experts.store)
    device.close()
    return device.costs, context.notes


def test_constants_count_the_decoding_that_the_host_has_to_do(experts: Any) -> None:
    costs, notes = prepared(experts, deterministic=True)
    high, low = experts.context.blob_bytes
    way = 2 * (64 * 2 // 2)
    assert costs.copy_ns(0) == high // 2 and costs.copy_ns(1) == low // 2
    assert costs.host_ns(0, 1) == way + high
    assert costs.host_ns(1, 1) == way + low + 3 * 64 * 64 * 2
    assert not notes


def test_compiled_kernels_spare_the_host_the_decoding_of_a_few_tokens(
    experts: Any, kernels: HostKernels
) -> None:
    costs, _ = prepared(experts, deterministic=True, kernels=kernels)
    without, _ = prepared(experts, deterministic=True)
    few = FEW_TOKENS["int4"]
    low = experts.context.blob_bytes[1]
    assert costs.host_ns(0, 1) == without.host_ns(0, 1)
    assert costs.host_ns(1, 1) == 2 * (64 * 2 // 2) + low
    assert costs.host_ns(1, few) < without.host_ns(1, few)
    assert costs.host_ns(1, few + 1) == without.host_ns(1, few + 1)


def test_experts_of_12_bits_are_decoded_where_they_are_not_compiled(experts: Any) -> None:
    context = replace(experts.context, precisions=("native", "lossless12"), blob_bytes=(24576, 19456))
    nominal = StandIn(**RATES).costs(context)
    torchs = GpuCosts(nominal, context, decode_gb_s=1.0)
    compiled = GpuCosts(nominal, context, decode_gb_s=1.0, compiled=FEW_TOKENS)
    few = FEW_TOKENS["lossless12"]
    assert compiled.host_ns(1, 1) == nominal.host_ns(1, 1) < compiled.host_ns(0, 1)
    assert torchs.host_ns(1, few) == compiled.host_ns(1, few) + 3 * 64 * 64 * 2
    assert torchs.host_ns(1, few + 1) == compiled.host_ns(1, few + 1)


def test_compiled_kernels_are_measured_like_torch(experts: Any, kernels: HostKernels) -> None:
    constant, _ = prepared(experts, deterministic=True, kernels=kernels)
    costs, notes = prepared(experts, deterministic=False, kernels=kernels)
    assert all(costs.host_ns(level, 1) != constant.host_ns(level, 1) > 0 for level in (0, 1))
    assert all(", on the host " in note for note in notes) and len(notes) == 2


MS = 1_000_000


def followed(experts: Any, deterministic: bool = False) -> GpuCosts:
    """Costs of two levels that were measured at 4 and 2 ms on the host, 6 and 3 ms in place."""
    context = replace(experts.context, deterministic=deterministic)
    return GpuCosts(
        StandIn(**RATES).costs(context),
        context,
        decode_gb_s=1.0,
        hosts={0: HostCost(4 * MS, 0), 1: HostCost(2 * MS, 0)},
        in_place={0: 6 * MS, 1: 3 * MS},
    )


def test_costs_follow_the_run_where_runs_may_differ(experts: Any) -> None:
    costs, constant = followed(experts), followed(experts, deterministic=True)
    for number in range(40):
        high, low = (0.75, 1.0, 0.0)[number % 3], (1.0, 0.5, 2.0)[number % 3]
        # On the host the high level takes half of what was foreseen, the low one twice; all twice in place.
        took = round(high * 2 * MS + low * 4 * MS), round(high * 12 * MS + low * 6 * MS)
        for one in (costs, constant):
            one.follow(SharedWork([high, low], [high, low], *took))
    assert [costs.host_ns(level, 1) for level in (0, 1)] == pytest.approx([2 * MS, 4 * MS], rel=0.02)
    assert [costs.in_place_ns(level, 1) for level in (0, 1)] == pytest.approx([12 * MS, 6 * MS], rel=0.02)
    assert [constant.host_ns(level, 1) for level in (0, 1)] == [4 * MS, 2 * MS]
    assert [constant.in_place_ns(level, 1) for level in (0, 1)] == [6 * MS, 3 * MS]
    assert costs.copy_ns(0) == constant.copy_ns(0)
    assert 0 < costs.revision < 20, "told of what differs, not of every pass"
    assert constant.revision == 0


def test_a_run_of_fewer_levels_scales_those(experts: Any) -> None:
    costs = followed(experts)
    for _ in range(20):
        costs.follow(SharedWork([1.0], [1.0], 8 * MS, 9 * MS))
    assert costs.host_ns(0, 1) == pytest.approx(8 * MS, rel=0.02) and costs.host_ns(1, 1) == 2 * MS
    assert costs.in_place_ns(0, 1) == pytest.approx(9 * MS, rel=0.02) and costs.in_place_ns(1, 1) == 3 * MS


@pytest.mark.parametrize("pageable", [False, True])
def test_a_measured_machine_has_its_own_numbers(experts: Any, pageable: bool) -> None:
    constant, _ = prepared(experts, deterministic=True)
    costs, notes = prepared(experts, deterministic=False, pageable=pageable)
    for level in (0, 1):
        assert 0 < costs.copy_ns(level) != constant.copy_ns(level)
        assert 0 < costs.host_ns(level, 1) <= costs.host_ns(level, 64)
        assert costs.host_ns(level, 1) == costs.host_ns(level, 1), "they stay, whatever copies take later"
    refused = [notes.pop(0)] if pageable else []
    size = format_size(experts.store.nbytes)
    assert all(f"locks no more host memory: {size} of {size} of experts" in note for note in refused)
    assert [note.split(",")[0] for note in notes] == [f"measured at start: {name}" for name in PRECISIONS]
