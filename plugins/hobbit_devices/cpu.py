"""The CPU as the device."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from hobbit.api import Context, free_host_bytes
from hobbit.sizes import parse_size
from hobbit_devices.torch_component import TorchComponent

if TYPE_CHECKING:
    from hobbit_devices.torch_device import TorchDevice


@dataclass
class CpuDevice(TorchComponent):
    """The CPU itself, with real copies from the store into slots.

    `memory: auto` is half of the free memory, since the store of all experts needs the other half. Waking
    the loader thread takes tens of microseconds, as long as copying a few hundred kilobytes: smaller blobs
    are copied in place.
    """

    name: ClassVar[str] = "cpu"
    host_slots: ClassVar[bool] = True
    label: str = "CPU"
    unified: bool = True
    link_gb_s: float = 10.0
    link_latency_us: float = 0.0
    tflops: float = 0.5
    host_tflops: float = 0.5
    in_place: str = "256KiB"

    def free_bytes(self) -> int:
        """Half of the free memory."""
        return free_host_bytes() // 2

    def build(self, context: Context) -> TorchDevice:
        """The device."""
        import torch

        from hobbit_devices.link import Link
        from hobbit_devices.torch_device import TorchDevice

        in_place = parse_size(self.in_place, "device.in_place")
        return TorchDevice(torch.device("cpu"), self.costs(context), Link(), in_place, threaded_host=False)
