"""A device that settles, on the CPU: the slots' native weights, gathered by index."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import torch
from hobbit_baselines.resident import Resident, ResidentComponent
from hobbit_devices.cpu import CpuDevice
from hobbit_devices.link import Link
from hobbit_devices.torch_device import TorchDevice
from torch.nn.functional import silu

from hobbit.api import Allocation, Context, SettledExperts


class SettlingTorchDevice(TorchDevice):
    """Meets `SettlingDevice` for gated silu experts at the checkpoint's own precision."""

    asked = 0
    most = 99
    """Tokens of a step that it settles."""

    def settles(self, activation: str | None, tokens: int) -> bool:
        return activation == "silu" and tokens <= self.most

    def settled(self, slots: npt.NDArray[np.int32]) -> SettledExperts:
        self.asked += 1
        held = [[self._slots().tensors(0, slot) for slot in row] for row in slots.tolist()]
        ups = [torch.stack([tensors["gate_up_proj"] for tensors in row]) for row in held]
        downs = [torch.stack([tensors["down_proj"] for tensors in row]) for row in held]

        def experts(
            layer: int, hidden: torch.Tensor, index: torch.Tensor, weights: torch.Tensor
        ) -> torch.Tensor:
            gate, up = torch.einsum("tkfd,td->tkf", ups[layer][index], hidden).chunk(2, dim=-1)
            outputs = torch.einsum("tkdf,tkf->tkd", downs[layer][index], silu(gate) * up)
            return (outputs * weights[..., None]).sum(dim=1).to(hidden.dtype)

        return experts


@dataclass
class SettlingCpu(CpuDevice):
    """Builds one."""

    name: ClassVar[str] = "settling_cpu"

    def build(self, context: Context) -> SettlingTorchDevice:
        return SettlingTorchDevice(torch.device("cpu"), self.costs(context), Link(), 1 << 20, False)


class _Warm(Resident):
    def warm(self, level: int, allocation: Allocation) -> Sequence[tuple[int, int]]:
        return [divmod(number, 8) for number in range(allocation.total)]


@dataclass
class WarmResident(ResidentComponent):
    """Every expert is there before the first token, of 8 a layer."""

    name: ClassVar[str] = "warm_resident"

    def build(self, context: Context) -> Resident:
        return _Warm()
