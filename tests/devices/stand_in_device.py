"""The GPU engine on stand-in queues: everything but the driver's calls is the real thing."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from hobbit_devices.arena import SlotArena
from hobbit_devices.calibration import Calibration
from hobbit_devices.fused_layer import FusedLayers
from hobbit_devices.gpu_costs import GpuCosts
from hobbit_devices.host_kernels import FEW_TOKENS
from hobbit_devices.host_kernels.compiled_lane import CompiledLane
from hobbit_devices.host_kernels.host_team import HostTeam
from hobbit_devices.host_lane import HostLane
from hobbit_devices.in_place import InPlace
from hobbit_devices.kernels.reference import ReferenceKernels
from hobbit_devices.locked_pages import LockedPages
from hobbit_devices.streamed_device import StreamedDevice
from hobbit_devices.torch_component import TorchComponent
from hobbit_devices.upload_ring import UploadRing

from hobbit.api import Context, SlotLayout
from tests.devices.stand_in_streams import QueuedKernels, StandInStreams

CPU = torch.device("cpu")


@dataclass
class StandIn(TorchComponent):
    """A component that builds the engine on stand-in queues; `fused` runs layers in stand-in kernels.

    `kernels` are what the host runs experts with, where there are any.
    """

    name = "stand_in"
    fused: bool = False
    inline: bool = True
    pageable: bool = False
    seed: int | None = None
    kernels: Any = None
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
            ring = UploadRing(streams, CPU)
            in_place = InPlace(
                layout.layouts,
                streams,
                CPU,
                lambda blob, pool: QueuedKernels(streams, ReferenceKernels(blob, pool)),
            )
            return FusedLayers(kernels, ring, in_place)

        compiled = FEW_TOKENS if self.kernels else {}
        costs = GpuCosts(self.costs(context), context, decode_gb_s=1.0, compiled=compiled)
        calibration = None if context.deterministic else Calibration(costs, context.notes)
        pages = LockedPages(context.shape, context.notes)
        lane = HostLane(True)
        if self.kernels:
            team = HostTeam(self.kernels, [0, 0])
            lane = HostLane(True, None, self.kernels, team, CompiledLane(self.kernels, team, check=bool))
        return StreamedDevice(CPU, costs, streams, lane, choose, calibration, pages)
