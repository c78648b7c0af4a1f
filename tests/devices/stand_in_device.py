"""The GPU engine on stand-in queues: everything but the driver's calls is the real thing."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from hobbit_devices.arena import SlotArena
from hobbit_devices.fused_layer import FusedLayers
from hobbit_devices.host_lane import HostLane
from hobbit_devices.kernels.reference import ReferenceKernels
from hobbit_devices.streamed_device import StreamedDevice
from hobbit_devices.torch_component import TorchComponent
from hobbit_devices.upload_ring import UploadRing
from torch.nn.functional import linear, silu

from hobbit.api import Context, SlotLayout
from tests.devices.stand_in_streams import QueuedKernels, StandInStreams

CPU = torch.device("cpu")


@dataclass
class StandIn(TorchComponent):
    """A component that builds the engine on stand-in queues; `fused` runs layers in stand-in kernels."""

    name = "stand_in"
    fused: bool = False
    inline: bool = True
    pageable: bool = False
    seed: int | None = None
    built: list[StandInStreams] = field(default_factory=list)

    def free_bytes(self) -> int:
        return 1 << 30

    def build(self, context: Context) -> StreamedDevice:
        streams = StandInStreams(self.inline, self.pageable, self.seed)
        self.built.append(streams)

        def choose(layout: SlotLayout, arena: SlotArena) -> FusedLayers | None:
            if not self.fused:
                return None
            kernels = [
                QueuedKernels(streams, ReferenceKernels(blob, arena.pool(level)))
                for level, blob in enumerate(layout.layouts)
            ]
            return FusedLayers(kernels, UploadRing(streams, CPU))

        return StreamedDevice(CPU, self.costs(context), streams, HostLane(True), choose)


class Layer:
    """A payload of T tokens with random choices of `top_k` among `experts`."""

    activation = "silu"

    def __init__(self, seed: int, tokens: int, experts: int = 6, top_k: int = 3, hidden: int = 64) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.hidden = torch.randn(tokens, hidden, generator=generator).bfloat16()
        chosen = torch.rand(tokens, experts, generator=generator).topk(top_k).indices
        self.experts = chosen.numpy()
        self.weights = torch.rand(tokens, top_k, generator=generator)
        self.output: torch.Tensor | None = None
        self.served = 0

    @property
    def chosen(self) -> list[int]:
        return np.unique(self.experts[self.experts >= 0]).tolist()  # type: ignore[no-any-return]

    def deliver(self, served: int) -> torch.Tensor:
        self.served = served
        self.output = torch.full_like(self.hidden, torch.nan)
        return self.output

    def expected(self, experts: dict[int, dict[str, torch.Tensor]]) -> torch.Tensor:
        """The output from `experts`, each run on the rows that a stand-in kernel would give it."""
        total = torch.zeros(self.hidden.shape)
        for expert in self.chosen:
            if expert not in experts:
                continue
            tokens, ranks = np.nonzero(self.experts == expert)
            tensors = experts[expert]
            few = len(self.hidden) == 1
            rows = [tokens[i : i + 1] for i in range(len(tokens))] if few else [tokens]
            outputs = []
            for at in rows:
                gate, up = linear(self.hidden[torch.from_numpy(at)], tensors["gate_up_proj"]).chunk(2, dim=-1)
                outputs.append(linear(silu(gate) * up, tensors["down_proj"]))
            weights = self.weights[torch.from_numpy(tokens), torch.from_numpy(ranks), None]
            total[torch.from_numpy(tokens)] += weights * torch.cat(outputs).float()
        return total.bfloat16()
