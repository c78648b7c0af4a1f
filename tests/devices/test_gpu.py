"""The accelerators, on the real hardware: run with `pytest -m gpu` where there is one."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hobbit_devices.cuda import CudaDevice
from hobbit_devices.mps import MpsDevice
from hobbit_devices.torch_component import TorchComponent

from hobbit.api import ExpertKey, Job

CUDA = pytest.param(
    CudaDevice(), marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"), id="cuda"
)
MPS = pytest.param(
    MpsDevice(),
    marks=pytest.mark.skipif(not torch.backends.mps.is_available(), reason="no Apple GPU"),
    id="mps",
)
pytestmark = [pytest.mark.gpu, pytest.mark.parametrize("component", [CUDA, MPS])]


@pytest.fixture
def stored(component: TorchComponent, request: pytest.FixtureRequest) -> Any:
    return request.getfixturevalue("pinned_experts" if component.pinned else "experts")


def test_it_is_available(component: TorchComponent) -> None:
    assert component.available() is None
    assert component.capacity_bytes() > 0


@pytest.mark.parametrize("block_bytes", [0, 4096])
def test_copies_arrive_bit_for_bit(component: TorchComponent, stored: Any, block_bytes: int) -> None:
    device = stored.device(component, block_bytes)
    for expert in range(6):
        copies = [stored.copy(ExpertKey(1, expert, level), expert % 3) for level in (0, 1)]
        for copy in copies:
            device.load(copy)
        device.wait(copies)
        for copy in copies:
            arrived = device._slots().blob(copy.key.level, copy.slot).cpu()
            assert torch.equal(arrived, stored.store.blob(copy.key))
    device.close()


@pytest.mark.parametrize("block_bytes", [0, 4096])
def test_outputs_equal_the_cpus(component: TorchComponent, stored: Any, block_bytes: int) -> None:
    device = stored.device(component, block_bytes)
    for key, output in stored.serve(device, passes=20):
        torch.testing.assert_close(output.cpu(), stored.expected(key), rtol=2e-2, atol=1e-3)
    device.close()


def test_decoding_there_equals_decoding_here(component: TorchComponent, stored: Any) -> None:
    device = stored.device(component)
    copy = stored.copy(ExpertKey(0, 2, 1), 0)
    device.load(copy)
    device.wait([copy])
    here = stored.quantizer.decode(stored.store.blob(copy.key), stored.layouts[1])
    for name, tensor in device._slots().tensors(1, 0).items():
        assert torch.equal(tensor.cpu(), here[name])
    device.close()


class Slow:
    """A payload whose kernels are still queued when the host goes on: it multiplies for long first."""

    activation = None

    def __init__(self, device: torch.device) -> None:
        self.busy = torch.randn(4096, 4096, device=device)
        self.sums: list[torch.Tensor] = []

    def compute(self, expert: int, tensors: dict[str, torch.Tensor]) -> None:
        for _ in range(50):
            self.busy = (self.busy @ self.busy).clamp(-1, 1)
        self.sums.append(tensors["down_proj"].double().sum())


def test_a_slot_is_not_overwritten_under_a_queued_kernel(component: TorchComponent, stored: Any) -> None:
    device = stored.device(component)
    payload = Slow(device.torch_device)
    for expert in range(6):
        copy = stored.copy(ExpertKey(0, expert, 0), 0)
        device.load(copy)
        device.wait([copy])
        device.run(0, [Job(copy.key, 0, 1)], payload)
    device.end_pass(1)
    expected = [stored.tensors(0, expert)["down_proj"].double().sum() for expert in range(6)]
    torch.testing.assert_close(torch.stack(payload.sums).cpu(), torch.stack(expected))
    device.close()
