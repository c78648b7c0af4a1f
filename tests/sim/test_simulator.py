"""Golden times of the simulated device, worked out by hand from the round figures of tests/sim/devices.py."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import pytest
from hobbit_devices.sim import Home

from tests.sim.devices import (
    BOARD,
    CARD,
    DISK_NS,
    HIGH_BYTES,
    LAYER_NS,
    LINK_NS,
    LOW_BYTES,
    MODEL,
    RUN_NS,
    context,
    copy,
    job,
    simulator,
)


def test_a_decode_layer_is_bound_by_memory() -> None:
    assert simulator(CARD).now_ns() == LAYER_NS


def test_a_prefill_layer_is_bound_by_maths() -> None:
    device = CARD.build(context())
    device.begin_layer(0, 4, 0)
    # 2 x 31,000 weights x 4 tokens and 4 x 10 causal pairs x 2 heads x 50, at 2 a nanosecond; the overhead
    assert device.now_ns() == 126_000 + 1_000


def test_experts_follow_the_roofline() -> None:
    costs = CARD.build(context()).costs
    assert costs.device_ns(0, 1) == RUN_NS
    assert costs.device_ns(1, 1) == 300_000  # 2 x 300,000 weights at 2 a nanosecond: not 150,000 bytes
    assert costs.device_ns(0, 4) == 1_200_000


def test_the_head_reads_the_vocabulary_once() -> None:
    device = CARD.build(context())
    device.end_pass(tokens=7)
    assert device.now_ns() == 100_000


def test_dense_layers_come_first() -> None:
    with_dense = context()
    with_dense.geometry = replace(MODEL, dense_layers=1, dense_ffn=1000)
    device = CARD.build(with_dense)
    device.begin_pass(1, 9)
    assert device.now_ns() == 2 * (30_000 + 200 + 300_000) + 10 * 200


def test_resident_experts_run_while_the_others_arrive() -> None:
    device = simulator(CARD)
    copies = [copy(0), copy(1)]
    for one in copies:
        device.load(one)
    device.run(0, [job(2)], None)
    assert device.wait(copies) == 2 * LINK_NS - RUN_NS
    assert [one.ready_ns for one in copies] == [LAYER_NS + LINK_NS, LAYER_NS + 2 * LINK_NS]
    device.run(0, [job(0), job(1)], None)
    assert device.end_layer(0) == 0
    assert device.now_ns() == LAYER_NS + 2 * LINK_NS + 2 * RUN_NS


def test_what_arrived_is_not_waited_for() -> None:
    device = simulator(CARD)
    early = copy(0)
    device.load(early)
    device.run(0, [job(2), job(3), job(4)], None)
    assert device.wait([early]) == 0
    assert early.done


def test_a_prefetch_in_flight_is_waited_for_and_not_loaded_again() -> None:
    device = simulator(CARD)
    prefetch = copy(0, urgent=False)
    device.load(prefetch)
    device.run(0, [job(2)], None)
    device.hurry(prefetch)
    assert device.wait([prefetch]) == LINK_NS - RUN_NS
    assert device.report().moved_bytes["link"] == HIGH_BYTES


def test_a_wrong_prefetch_in_flight_delays_the_demand() -> None:
    device = simulator(CARD)
    device.load(copy(0, urgent=False))
    device.run(0, [job(2)], None)
    demand = copy(1)
    device.load(demand)
    assert device.wait([demand]) == 2 * LINK_NS - RUN_NS


def test_blocks_bound_that_delay() -> None:
    device = simulator(CARD, block_bytes=100_000)  # 200,000 ns each
    device.load(copy(0, urgent=False))
    device.run(0, [job(2)], None)
    demand = copy(1)
    device.load(demand)  # 595,000 ns into the transfer: the third block ends 10,000 ns later
    assert device.wait([demand]) == 5_000 + LINK_NS


def test_a_cancelled_prefetch_moves_nothing() -> None:
    device = simulator(CARD)
    demand, prefetch = copy(0), copy(1, urgent=False)
    device.load(demand)
    device.load(prefetch)
    device.cancel(prefetch)
    device.wait([demand])
    device.run(0, [job(0), job(2), job(3)], None)
    assert device.report().moved_bytes["link"] == HIGH_BYTES
    assert not prefetch.done


def test_cancelling_or_hurrying_what_arrived_changes_nothing() -> None:
    device = simulator(CARD)
    prefetch = copy(0, urgent=False)
    device.load(prefetch)
    device.wait([prefetch])
    now = device.now_ns()
    device.hurry(prefetch)
    device.cancel(prefetch)
    assert device.wait([prefetch]) == 0
    assert device.now_ns() == now


def test_unified_memory_is_fed_by_the_disk_alone() -> None:
    device = simulator(BOARD)
    demand = copy(0)
    device.load(demand)
    assert device.wait([demand]) == DISK_NS
    assert device.report().moved_bytes == {"disk": HIGH_BYTES}


def test_experts_on_disk_pass_disk_and_link_one_after_the_other() -> None:
    device = simulator(replace(CARD, experts_home=Home.disk))
    copies = [copy(0), copy(1)]
    for one in copies:
        device.load(one)
    assert device.wait(copies) == 2 * DISK_NS + LINK_NS  # the second's disk hides the first's link
    assert device.costs.copy_ns(0) == DISK_NS + LINK_NS


def test_experts_beyond_the_hosts_memory_lie_on_disk() -> None:
    device = simulator(replace(CARD, host_memory="12MB"))  # half of them: the odd ones
    assert device.costs.copy_ns(0) == LINK_NS + DISK_NS // 2
    odd, even = copy(1), copy(2)
    device.load(odd)
    assert device.wait([odd]) == LINK_NS
    device.load(even)
    assert device.wait([even]) == DISK_NS + LINK_NS


HOST_NS = 3_000 + 800 + 1_200_000  # latency, 100 values there and back over the link, 600,000 bytes


def test_the_host_works_beside_the_device() -> None:
    device = simulator(CARD)
    assert device.costs.host_ns(0, 1) == HOST_NS
    device.run_host(0, [job(0, slot=-1), job(1, slot=-1)], None)
    device.run(0, [job(2)], None)
    assert device.end_layer(0) == 2 * HOST_NS - RUN_NS
    assert device.report().busy_ns["host"] == 2 * HOST_NS


def test_on_unified_memory_the_host_waits_for_the_disk_and_shares_the_bus() -> None:
    device = simulator(BOARD)
    host_ns = 3_000 + 400 + 1_200_000
    assert device.costs.host_ns(0, 1) == DISK_NS + host_ns
    device.run_host(0, [job(0, slot=-1)], None)
    device.run(0, [job(2)], None)
    bus_ns = HIGH_BYTES
    assert device.end_layer(0) == DISK_NS + host_ns - RUN_NS - bus_ns
    assert device.now_ns() == LAYER_NS + DISK_NS + host_ns
    assert device.report().moved_bytes["disk"] == HIGH_BYTES


def test_a_busy_device_loses_the_bus_time_that_the_host_takes() -> None:
    device = simulator(BOARD)
    device.run_host(0, [job(0, slot=-1, level=1)], None)
    device.run(0, [job(expert) for expert in range(1, 8)], None)
    assert device.end_layer(0) == 0
    assert device.now_ns() == LAYER_NS + 7 * RUN_NS + LOW_BYTES


def test_the_report_and_the_timeline_agree() -> None:
    device = simulator(replace(CARD, timeline=True))
    demand = copy(0)
    device.load(demand)
    device.run_host(0, [job(1, slot=-1)], None)
    stall = device.wait([demand])
    device.run(0, [job(0)], None)
    stall += device.end_layer(0)
    report = device.report()
    assert report.simulated and report.stall_ns == stall
    for stream, busy in report.busy_ns.items():
        assert busy == sum(i.end_ns - i.start_ns for i in device.timeline() if i.stream == stream)
    assert report.now_ns == report.busy_ns["compute"] + report.stall_ns


@pytest.mark.parametrize("device", [CARD, BOARD])
def test_a_replay_needs_no_torch(device: object) -> None:
    code = (
        "import sys; from tests.sim import devices as d; from hobbit_devices.sim import Home, SimDevice;"
        f"s = d.simulator(d.{'CARD' if device is CARD else 'BOARD'}); s.run(0, [d.job(0)], None);"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
