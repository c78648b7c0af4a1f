"""A small model's experts in a store, and the calls that a runtime makes to have them computed."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest
import torch
from hobbit_devices.host_kernels.compiler import Compiler, CompilerError
from hobbit_devices.host_kernels.host_kernels import HostKernels
from hobbit_devices.host_kernels.loading import load
from hobbit_devices.torch_component import TorchComponent
from hobbit_devices.torch_device import TorchDevice
from hobbit_quantizers.quanto import QuantoQuantizer
from torch.nn.functional import linear, silu

from hobbit.api import Context, Copy, ExpertKey, Geometry, Job, Quantizer, Records, SlotLayout
from hobbit.store import MemoryStore, fill_store

PRECISIONS = ("native", "int4")
SLOTS = 3


@dataclass
class Activations:
    """A payload: 5 tokens of one layer, and each expert's output for them."""

    activation = None
    hidden: torch.Tensor
    outputs: dict[int, torch.Tensor] = field(default_factory=dict)

    def compute(self, expert: int, tensors: Mapping[str, torch.Tensor]) -> None:
        hidden = self.hidden.to(tensors["down_proj"].device)
        gate, up = linear(hidden, tensors["gate_up_proj"]).chunk(2, dim=-1)
        self.outputs[expert] = linear(silu(gate) * up, tensors["down_proj"]).to(self.hidden.device)

    def skip(self, expert: int) -> None:
        raise AssertionError("nothing is skipped here")


class Experts:
    """The store, and what its experts give when nothing is offloaded."""

    def __init__(self, pin: bool, width: int = 64) -> None:
        self.geometry = Geometry(layers=2, experts=6, top_k=2, hidden=width, ffn=width)
        self.quantizer: Quantizer = QuantoQuantizer().build(self.context)
        specs = self.geometry.expert_tensors()
        self.layouts = tuple(self.quantizer.layout(specs, precision) for precision in PRECISIONS)
        self.store = MemoryStore(self.layouts, self.geometry.shape, pin)
        fill_store(self.store, self.quantizer, PRECISIONS, self.tensors)
        self.hidden = torch.randn(5, width, generator=torch.Generator().manual_seed(1)).bfloat16()

    @property
    def context(self) -> Context:
        squares = (self.geometry.ffn // 64) ** 2
        blobs = 24576 * squares, 6912 * squares
        return Context(self.geometry, PRECISIONS, blobs, Records(self.geometry.shape))

    def tensors(self, layer: int, expert: int) -> dict[str, torch.Tensor]:
        generator = torch.Generator().manual_seed(100 * layer + expert)
        return {
            name: (torch.randn(spec.shape, generator=generator) * 0.1).bfloat16()
            for name, spec in self.geometry.expert_tensors().items()
        }

    def device(self, component: TorchComponent, block_bytes: int = 0) -> TorchDevice:
        device = component.build(self.context)
        device.prepare(SlotLayout((SLOTS, SLOTS), self.layouts), self.quantizer, self.store, block_bytes)
        return device

    def copy(self, key: ExpertKey, slot: int, urgent: bool = True) -> Copy:
        return Copy(key, slot, urgent, self.layouts[key.level].nbytes)

    def decoded(self, key: ExpertKey) -> dict[str, torch.Tensor]:
        return dict(self.quantizer.decode(self.store.blob(key), self.layouts[key.level]))

    def expected(self, key: ExpertKey) -> torch.Tensor:
        payload = Activations(self.hidden)
        blob = self.store.blob(key)
        payload.compute(key.expert, self.quantizer.decode(blob, self.layouts[key.level]))
        return payload.outputs[key.expert]

    def serve(self, device: TorchDevice, passes: int = 3) -> list[tuple[ExpertKey, torch.Tensor]]:
        """What a runtime does: each layer hurries a prefetch, loads on demand, and runs; slots are reused."""
        served = []
        for number in range(passes):
            device.begin_pass(5, 5 * number)
            for layer, level in ((0, 0), (1, 1)):
                served += self._layer(device, layer, level, number)
            device.end_pass(5)
        return served

    def _layer(
        self, device: TorchDevice, layer: int, level: int, number: int
    ) -> list[tuple[ExpertKey, torch.Tensor]]:
        payload = Activations(self.hidden.to(device.torch_device))
        device.begin_layer(layer, 5, 5 * number)
        experts = [(SLOTS * number + slot) % 6 for slot in range(SLOTS)]
        copies = [self.copy(ExpertKey(layer, experts[0], level), 0, urgent=False)]
        copies += [self.copy(ExpertKey(layer, experts[slot], level), slot) for slot in range(1, SLOTS)]
        for copy in copies:
            device.load(copy)
        device.hurry(copies[0])
        hosted = ExpertKey(layer, (experts[-1] + 1) % 6, level)
        device.run_host(layer, [Job(hosted, -1, 5)], payload)
        device.wait(copies)
        device.run(layer, [Job(copy.key, copy.slot, 5) for copy in copies], payload)
        device.end_layer(layer)
        keys = [*(copy.key for copy in copies), hosted]
        return [(key, payload.outputs[key.expert]) for key in keys]


@pytest.fixture(scope="session")
def experts() -> Experts:
    return Experts(pin=False)


@pytest.fixture(scope="session")
def pinned_experts() -> Experts:
    return Experts(pin=True)


@pytest.fixture(scope="session")
def compiler() -> Compiler:
    """The system's C compiler; tests that ask for it are skipped where there is none."""
    try:
        return Compiler.find()
    except CompilerError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def kernels(compiler: Compiler, tmp_path_factory: pytest.TempPathFactory) -> HostKernels:
    """The compiled host kernels, made once, in a cache of their own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        found, reason = load()
    if found is None and sys.platform != "linux":
        pytest.skip(str(reason))  # a compiler without OpenMP, as Apple's
    assert found is not None, reason
    return found
