"""The engine on a real GPU: whatever moves when, the kernels read the right bytes and give the same bits."""

from __future__ import annotations

from itertools import pairwise
from random import Random
from threading import Thread
from typing import Any

import pytest
import torch
from hobbit_devices.cuda import CudaDevice
from hobbit_devices.cuda_driver import CudaDriver
from hobbit_devices.cuda_streams import CudaStreams
from hobbit_devices.upload_ring import ROWS, WIDTH, UploadRing

from hobbit.api import ExpertKey, Job
from tests.devices.conftest import Experts
from tests.devices.layers import Layer, serve

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device is visible"),
]

ROUNDS = 40
WIDE = 1024


def run(
    stored: Any, fates: list[str], block: int, seed: int
) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """Outputs of many layers whose experts meet fates drawn from `fates`, and what is to be expected."""
    device = stored.device(CudaDevice(), block)
    random = Random(seed)
    outputs, expected = [], []
    for number in range(ROUNDS):
        layer = Layer(number, (1, 2, 17)[number % 3])
        chosen = [random.choice(fates) for _ in range(6)]
        on_gpu = layer.to(device.torch_device)
        device.begin_pass(len(layer.hidden), 0)
        device.begin_layer(number % 2, len(layer.hidden), 0)
        expected.append(serve(stored, device, number % 2, on_gpu, chosen, number))
        outputs.append(on_gpu.output)
    device.end_pass(1)
    report = device.report()
    assert 0 < report.busy_ns["link"] <= report.now_ns
    assert 0 <= report.stall_ns <= report.now_ns
    device.close()
    return [output.cpu() for output in outputs], expected


@pytest.mark.parametrize("block", [0, 1024])
def test_no_order_of_events_changes_a_bit(pinned_experts: Any, block: int) -> None:
    plain, expected = run(pinned_experts, ["load"], 0, 0)
    for output, right in zip(plain, expected, strict=True):
        torch.testing.assert_close(output, right, rtol=2e-2, atol=2e-2)
    for seed in range(3):
        mixed, _ = run(pinned_experts, ["load", "prefetch", "cancelled"], block, seed)
        assert all(torch.equal(*pair) for pair in zip(plain, mixed, strict=True))


def test_host_and_device_share_a_layer(pinned_experts: Any) -> None:
    outputs, expected = run(pinned_experts, ["load", "prefetch", "host", "skip"], 1024, 1)
    for output, right in zip(outputs, expected, strict=True):
        torch.testing.assert_close(output, right, rtol=2e-2, atol=2e-2)


@pytest.mark.parametrize("level", [0, 1])
@pytest.mark.parametrize("share", [0.0, 0.3, 0.7])
def test_host_and_device_share_an_expert(pinned_experts: Any, level: int, share: float) -> None:
    device = pinned_experts.device(CudaDevice())
    assert device.costs.in_place_ns(level, 1) is not None
    for number in range(ROUNDS):
        layer = Layer(number, 1)
        on_gpu = layer.to(device.torch_device)
        device.begin_pass(1, 0)
        device.begin_layer(0, 1, 0)
        jobs = [Job(ExpertKey(0, expert, level), -1, 1, share) for expert in layer.chosen]
        device.run_host(0, jobs, on_gpu)
        device.end_layer(0)
        device.end_pass(1)
        right = layer.expected({e: pinned_experts.decoded(ExpertKey(0, e, level)) for e in layer.chosen})
        torch.testing.assert_close(on_gpu.output.cpu(), right, rtol=2e-2, atol=2e-2)
    moved = device.report().moved_bytes
    if level == 0:  # 64 units, parted at multiples of 16; those of int4 at groups of 64
        assert moved["link"] == moved["host"] * {0.0: 1, 0.3: 3, 0.7: 1 / 3}[share] or not moved["host"]
    device.close()


@pytest.fixture(scope="module")
def wide_experts() -> Experts:
    """Experts that take long enough to read for others to run beside them."""
    return Experts(pin=True, width=WIDE)


@pytest.mark.parametrize("level", [0, 1])
def test_what_is_read_in_place_runs_beside_the_others(wide_experts: Experts, level: int) -> None:
    first, second = (beside(wide_experts, level) for _ in range(2))
    for number, (output, again) in enumerate(zip(first, second, strict=True)):
        layer = Layer(number, 1, hidden=WIDE)
        right = layer.expected({e: wide_experts.decoded(ExpertKey(0, e, level)) for e in layer.chosen})
        torch.testing.assert_close(output, right, rtol=3e-2, atol=0.02 * float(right.abs().max()))
        assert torch.equal(output, again), "the timing leaves no trace"


def beside(experts: Experts, level: int) -> list[torch.Tensor]:
    """One token after another on one device: one or two experts shared, the others in slots of their own."""
    device = experts.device(CudaDevice())
    assert device.costs.in_place_ns(level, 1) is not None
    outputs = []
    device.begin_pass(1, 0)
    for number in range(3 * ROUNDS):
        layer = Layer(number, 1, hidden=WIDE)
        on_gpu: Any = layer.to(device.torch_device)
        on_gpu.host_hidden = layer.hidden.pin_memory() if number % 3 else None
        shared = layer.chosen[: 1 + number % 2]
        device.begin_layer(0, 1, 0)
        share = (0.0, 0.25, 0.5, 1.0)[number % 4]
        device.run_host(0, [Job(ExpertKey(0, e, level), -1, 1, share) for e in shared], on_gpu)
        copies = [experts.copy(ExpertKey(0, e, level), s) for s, e in enumerate(layer.chosen[len(shared) :])]
        for copy in copies:
            device.load(copy)
        device.wait(copies)
        device.run(0, [Job(copy.key, copy.slot, 1) for copy in copies], on_gpu)
        device.end_layer(0)
        outputs.append(on_gpu.output.cpu())  # as the next layer's routing, it comes behind the layer
    device.end_pass(1)
    report = device.report()
    assert report.moved_bytes["link"] and report.moved_bytes["host"]
    device.close()
    return outputs


def test_work_beside_is_ordered_by_marks_alone() -> None:
    streams = CudaStreams(torch.device("cuda"), CudaDriver.find())
    outside = torch.cuda.current_stream()
    here, there = (torch.zeros(2**24, device="cuda") for _ in range(2))
    for number in range(50):
        here.add_(1)
        mark = streams.computed()
        with streams.beside():
            assert torch.cuda.current_stream() != outside
            streams.follow(mark)
            there.copy_(here)
            done = streams.computed()
        assert torch.cuda.current_stream() == outside
        streams.follow(done)
        here.copy_(there)
        if number % 10 == 0:
            streams.join(done)
            assert streams.passed(done)
    with pytest.raises(KeyError), streams.beside():
        raise KeyError
    assert torch.cuda.current_stream() == outside
    streams.finish()
    assert here.unique().tolist() == [50]


def test_shown_rows_stay_until_they_were_read() -> None:
    place = torch.device("cuda")
    streams = CudaStreams(place, CudaDriver.find())
    ring = UploadRing(streams, place)
    with streams.beside():
        kept = [ring.show([number, number + 1]) * 1 for number in range(5 * ROWS)]
        streams.finish()
    assert torch.stack(kept).cpu().tolist() == [[n, n + 1] for n in range(5 * ROWS)]


def test_pageable_blobs_go_through_the_ring(experts: Any) -> None:
    outputs, expected = run(experts, ["load", "prefetch", "cancelled"], 1024, 2)
    for output, right in zip(outputs, expected, strict=True):
        torch.testing.assert_close(output, right, rtol=2e-2, atol=2e-2)


@pytest.mark.parametrize("by_driver", [False, True])
def test_copies_of_any_size_arrive_from_any_thread(by_driver: bool) -> None:
    place = torch.device("cuda")
    driver = CudaDriver.find() if by_driver else None
    assert (driver is not None) == by_driver, "the driver is there"
    streams = CudaStreams(place, driver)
    sizes = [1, 64, 4096, 2**20 + 3, 9 * 2**20]
    host = streams.pinned((sum(sizes),), torch.uint8).random_(generator=torch.Generator().manual_seed(0))
    there = torch.zeros(sum(sizes), dtype=torch.uint8, device=place)
    streams.finish()

    def copy_all() -> None:
        start = 0
        for size in sizes:
            streams.copy(there[start : start + size], host[start : start + size])
            start += size
        streams.join(streams.copied())

    copy_all()
    assert torch.equal(there.cpu(), host)
    there.zero_()
    streams.finish()
    fresh = Thread(target=copy_all)  # the driver knows nothing of it yet
    fresh.start()
    fresh.join()
    assert torch.equal(there.cpu(), host)


def test_marks_keep_their_order_while_events_are_used_again() -> None:
    streams = CudaStreams(torch.device("cuda"), CudaDriver.find())
    host = streams.pinned((2**22,), torch.uint8)
    there = torch.empty(2**22, dtype=torch.uint8, device="cuda")
    kept = [streams.copied()]
    for number in range(200):
        streams.copy(there, host)
        mark = streams.copied()
        if number % 10 == 0:
            kept.append(mark)
    streams.join(streams.copied())
    assert all(streams.passed(mark) for mark in kept)
    assert all(streams.between_ns(first, second) > 0 for first, second in pairwise(kept))
    streams.follow(kept[-1])
    streams.hold(streams.computed())
    streams.finish()
    assert streams.idle()


def test_kernels_read_pinned_memory_here() -> None:
    """Not a matter of right or wrong: where they do not, small arrays wait behind whole experts."""
    assert CudaStreams(torch.device("cuda"), CudaDriver.find()).maps


def test_uploads_arrive_in_order_and_outlive_the_ring() -> None:
    place = torch.device("cuda")
    ring = UploadRing(CudaStreams(place), place)
    kept = [ring.upload([number, number + 1]).clone() for number in range(5 * ROWS)]
    wide = ring.upload(list(range(3 * WIDTH))).clone()
    assert torch.stack(kept).cpu().tolist() == [[n, n + 1] for n in range(5 * ROWS)]
    assert wide.cpu().tolist() == list(range(3 * WIDTH))
