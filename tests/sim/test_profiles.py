"""The device profiles: they compose, and their fitted overhead reproduces the published loading shares."""

from __future__ import annotations

import pytest
from hobbit_devices.sim import Home, SimDevice

from benchmarks.calibration.layer_overhead import (
    PUBLISHED_SHARES,
    fitted_overhead_us,
    on_demand_layer,
    profile,
)
from hobbit.api import Context
from hobbit.config.compose import compose
from hobbit.errors import ConfigError

GIB = 2**30


@pytest.mark.parametrize(
    ("name", "capacity", "precisions"),
    [
        ("orin", 26 * GIB, ("int8", "int2")),
        ("rtx4090", 24 * GIB, ("native", "int4")),
        ("rtx2080ti", 11 * GIB, ("native", "int4")),
        ("h200", 141 * 10**9, ("native", "int4")),
    ],
)
def test_profiles_compose_and_build(name: str, capacity: int, precisions: tuple[str, str]) -> None:
    device, context = profile(name)
    assert device.capacity_bytes() == capacity
    assert (device.high, device.low) == precisions
    assert "simulated" in device.label
    assert device.build(context).simulated


def test_orin_reads_experts_from_its_disk_alone() -> None:
    device, context = profile("orin")
    assert device.unified
    assert device.experts_home is Home.disk
    costs = device.build(context).costs
    assert costs.copy_ns(0) == 100_000 + -(-context.blob_bytes[0] // 3)


@pytest.mark.parametrize(("name", "share"), PUBLISHED_SHARES.items())
def test_on_demand_spends_the_published_share_loading(name: str, share: float) -> None:
    device, context = profile(name)
    loading, computing = on_demand_layer(device, context)
    assert loading / (loading + computing) == pytest.approx(share, abs=0.005)
    assert fitted_overhead_us(share, device, context) == pytest.approx(device.layer_overhead_us, abs=1)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"link_gb_s": 0.0}, "link_gb_s"),
        ({"disk_gb_s": -3.0}, "disk_gb_s"),
        ({"unified": True}, "experts_home"),
        ({"host_memory": "much"}, "host_memory"),
    ],
)
def test_numbers_that_make_no_device_are_refused(words: dict[str, object], message: str) -> None:
    context: Context = profile("rtx4090")[1]
    with pytest.raises(ConfigError, match=message):
        SimDevice(**words).build(context)  # type: ignore[arg-type]


def test_a_reserve_larger_than_the_memory_is_refused() -> None:
    with pytest.raises(ConfigError, match="reserve"):
        SimDevice(memory="4GiB", reserve="5GiB").capacity_bytes()


def test_options_can_be_set_one_by_one() -> None:
    config = compose(["device=orin", "device.disk_gb_s=7", "device.experts_home=disk"])
    assert isinstance(config.device, SimDevice)
    assert config.device.disk_gb_s == 7.0
