"""The CPU device under the calls of a runtime: exact bytes, exact outputs, honest books."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hobbit_devices.cpu import CpuDevice
from hobbit_devices.cuda import CudaDevice
from hobbit_devices.mps import MpsDevice
from hobbit_devices.torch_component import TorchComponent

from hobbit.api import Device, ExpertKey, Job, SlotLayout, free_host_bytes
from hobbit.errors import BudgetError, ConfigError, DeviceError, ModelError
from hobbit.store import MemoryStore

THREADED = "0"


@pytest.mark.parametrize("in_place", [THREADED, "256KiB"])
@pytest.mark.parametrize("block_bytes", [0, 4096, 1000])
def test_outputs_are_those_of_the_source(experts: Any, in_place: str, block_bytes: int) -> None:
    device = experts.device(CpuDevice(in_place=in_place), block_bytes)
    for key, output in experts.serve(device):
        assert torch.equal(output, experts.expected(key))
    device.close()


@pytest.mark.parametrize("in_place", [THREADED, "256KiB"])
def test_the_books_count_every_byte(experts: Any, in_place: str) -> None:
    device = experts.device(CpuDevice(in_place=in_place), 4096)
    experts.serve(device, passes=2)
    report = device.report()
    high, low = (layout.nbytes for layout in experts.layouts)
    assert report.moved_bytes == {"link": 2 * 3 * (high + low), "host": 2 * (high + low)}
    assert 0 < report.busy_ns["link"] <= report.now_ns
    assert 0 < report.busy_ns["host"] <= report.now_ns
    assert 0 <= report.stall_ns <= report.now_ns
    assert not report.simulated
    device.close()


@pytest.mark.parametrize("in_place", [THREADED, "256KiB"])
def test_a_blob_that_the_source_lacks_is_the_callers_error(experts: Any, in_place: str) -> None:
    device = CpuDevice(in_place=in_place).build(experts.context)
    empty = MemoryStore(experts.layouts, experts.geometry.shape)
    device.prepare(SlotLayout((1, 1), experts.layouts), experts.quantizer, empty)
    copy = experts.copy(ExpertKey(0, 4, 0), 0)

    def load_and_wait() -> None:
        device.load(copy)
        device.wait([copy])

    with pytest.raises(ModelError, match=r"expert 4 of layer 0"):
        load_and_wait()
    device.close()


def test_a_slot_given_away_holds_its_last_owner(experts: Any) -> None:
    device = experts.device(CpuDevice(in_place=THREADED), 256)
    dropped = experts.copy(ExpertKey(0, 0, 0), 1, urgent=False)
    device.load(dropped)
    device.cancel(dropped)
    wanted = experts.copy(ExpertKey(1, 3, 0), 1)
    device.load(wanted)
    device.wait([wanted])
    blob = device._slots().blob(0, 1)
    assert torch.equal(blob, experts.store.blob(wanted.key))
    device.close()


def test_native_slots_keep_their_address(experts: Any) -> None:
    arena = experts.device(CpuDevice())._slots()
    pointers = [t.data_ptr() for t in arena.tensors(0, 2).values()]
    assert pointers == [t.data_ptr() for t in arena.tensors(0, 2).values()]
    assert not any(pointer % 64 for pointer in pointers)


def test_it_meets_the_protocol_and_closes_twice(experts: Any) -> None:
    device: Device = experts.device(CpuDevice())
    device.close()
    device.close()
    with pytest.raises(DeviceError, match="closed"):
        device.run(0, [Job(ExpertKey(0, 0, 0), 0, 1)], experts)


def test_a_replay_is_refused(experts: Any) -> None:
    device = CpuDevice().build(experts.context)
    with pytest.raises(DeviceError, match="device=sim"):
        device.prepare(SlotLayout((1, 1), experts.layouts), experts.quantizer, None)
    device.close()


def test_slots_beyond_the_memory_are_refused(experts: Any) -> None:
    device = CpuDevice().build(experts.context)
    with pytest.raises(DeviceError, match=r"device=cpu cannot allocate .* TB"):
        device.prepare(SlotLayout((1 << 40, 1), experts.layouts), experts.quantizer, experts.store)
    device.close()


def test_costs_follow_the_nominal_numbers(experts: Any) -> None:
    component = CpuDevice(link_gb_s=2.0, link_latency_us=3.0, memory_gb_s=1.0, tflops=0.001, host_gb_s=0.5)
    costs = component.costs(experts.context)
    assert costs.copy_ns(0) == 3000 + 24576 // 2
    assert costs.device_ns(1, 2) == 2 * 2 * 3 * 64 * 64  # bound by its 10^9 operations a second
    assert costs.host_ns(0, 2) == 2 * (3000 + 2 * 64 * 2 // 2) + 24576 * 2  # bound by reading the blob


def test_a_rate_must_be_positive(experts: Any) -> None:
    with pytest.raises(ConfigError, match=r"device.link_gb_s=0 is not a rate"):
        CpuDevice(link_gb_s=0).build(experts.context)


def test_capacity_is_memory_less_reserve() -> None:
    assert CpuDevice(memory="3GB", reserve="1GB").capacity_bytes() == 2 * 10**9
    assert 0 < CpuDevice().capacity_bytes() <= free_host_bytes()
    with pytest.raises(BudgetError, match=r"device.reserve='3GB'"):
        CpuDevice(memory="3GB", reserve="3GB").capacity_bytes()


@pytest.mark.parametrize(
    ("files", "free"),
    [
        ({}, 8 << 20),
        ({"memory.max": "max", "memory.current": "5"}, 8 << 20),
        ({"memory.max": "4194304", "memory.current": "1048576"}, 3 << 20),
        ({"memory/memory.limit_in_bytes": "4194304", "memory/memory.usage_in_bytes": "5000000"}, 0),
    ],
)
def test_free_memory_respects_the_control_group(tmp_path: Path, files: dict[str, str], free: int) -> None:
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal: 9999 kB\nMemAvailable: 8192 kB\n")
    (tmp_path / "memory").mkdir()
    for name, text in files.items():
        (tmp_path / name).write_text(text + "\n")
    assert free_host_bytes(meminfo, tmp_path) == free


@pytest.mark.skipif(torch.cuda.is_available() or torch.backends.mps.is_available(), reason="a GPU is here")
@pytest.mark.parametrize("component", [CudaDevice(), MpsDevice()])
def test_an_absent_device_says_so(experts: Any, component: TorchComponent) -> None:
    assert component.available()
    builds: list[Callable[[], object]] = [lambda: component.build(experts.context), component.capacity_bytes]
    for build in builds:
        with pytest.raises(DeviceError, match=f"device={component.name}: no .*; use device=cpu"):
            build()
