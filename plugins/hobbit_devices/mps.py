"""An Apple GPU, in plain torch."""

from __future__ import annotations

import platform
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from hobbit.api import Context
from hobbit.errors import DeviceError
from hobbit.sizes import parse_size
from hobbit_devices.torch_component import TorchComponent

if TYPE_CHECKING:
    from hobbit_devices.torch_device import TorchDevice

ABSENT = "device=mps: no Apple GPU is visible; use device=cpu or device=auto"


@dataclass
class MpsDevice(TorchComponent):
    """An Apple GPU with unified memory. Not run on hardware.

    torch's MPS backend has one stream, shared by all threads, so a second thread would gain nothing: every
    copy is made in place. The rates are an M2 Max's.
    """

    name: ClassVar[str] = "mps"
    source: ClassVar[str] = "Apple M2 Max technical specifications"
    label: str = "Apple GPU (not run on hardware)"
    reserve: str = "4GiB"
    unified: bool = True
    tflops: float = 13.6
    memory_gb_s: float = 400.0
    link_gb_s: float = 100.0
    link_latency_us: float = 20.0
    in_place: str = "1TiB"

    def available(self) -> str | None:
        """None on Apple silicon."""
        apple = sys.platform == "darwin" and platform.machine() == "arm64"
        return None if apple else "not Apple silicon"

    def free_bytes(self) -> int:
        """What Metal recommends to use at most. Raises DeviceError without an Apple GPU."""
        import torch

        if not torch.backends.mps.is_available():
            raise DeviceError(ABSENT)
        return torch.mps.recommended_max_memory()

    def build(self, context: Context) -> TorchDevice:
        """The device. Raises DeviceError where there is none."""
        import torch

        if not torch.backends.mps.is_available():
            raise DeviceError(ABSENT)
        from hobbit_devices.mps_link import MpsLink
        from hobbit_devices.torch_device import TorchDevice

        in_place = parse_size(self.in_place, "device.in_place")
        return TorchDevice(torch.device("mps"), self.costs(context), MpsLink(), in_place)
