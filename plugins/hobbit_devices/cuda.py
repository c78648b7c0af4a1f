"""An NVIDIA GPU, in plain torch."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from hobbit.api import Context
from hobbit.errors import DeviceError
from hobbit.sizes import parse_size
from hobbit_devices.torch_component import TorchComponent

if TYPE_CHECKING:
    from hobbit_devices.torch_device import TorchDevice

ABSENT = "device=cuda: no CUDA device is visible; use device=cpu or device=auto"


@dataclass
class CudaDevice(TorchComponent):
    """An NVIDIA GPU: copies from pinned memory on a stream of their own, experts in plain torch.

    The default rates are an H200's, as its simulated profile has them. `graphs`: replay decode steps from
    CUDA graphs, cut at the experts, where the KV cache is static.
    """

    name: ClassVar[str] = "cuda"
    pinned: ClassVar[bool] = True
    label: str = "NVIDIA GPU"
    reserve: str = "1GiB"
    tflops: float = 989.5
    memory_gb_s: float = 3500.0
    link_gb_s: float = 55.3
    link_latency_us: float = 2.5
    host_tflops: float = 2.0
    host_gb_s: float = 62.0
    graphs: bool = True

    def available(self) -> str | None:
        """A look at torch's build and the driver's files; `build` asks the driver itself."""
        if "+cpu" in version("torch"):
            return "this torch is built without CUDA"
        if os.environ.get("CUDA_VISIBLE_DEVICES", "0") in ("", "-1"):
            return "CUDA_VISIBLE_DEVICES hides every device"
        if (
            sys.platform == "linux"
            and not any(Path("/dev").glob("nvidia[0-9]*"))
            and not Path("/dev/dxg").exists()
        ):
            return "no NVIDIA device"
        return "no CUDA on macOS" if sys.platform == "darwin" else None

    def free_bytes(self) -> int:
        """Free memory of the current device. Raises DeviceError without one."""
        import torch

        if not torch.cuda.is_available():
            raise DeviceError(ABSENT)
        return torch.cuda.mem_get_info()[0]

    def records_steps(self) -> bool:
        """As `graphs` says."""
        return self.graphs

    def build(self, context: Context) -> TorchDevice:
        """The device. Raises DeviceError where there is none."""
        import torch

        if not torch.cuda.is_available():
            raise DeviceError(ABSENT)
        from hobbit_devices.cuda_link import CudaLink
        from hobbit_devices.torch_device import TorchDevice

        device = torch.device("cuda", torch.cuda.current_device())
        in_place = parse_size(self.in_place, "device.in_place")
        return TorchDevice(device, self.costs(context), CudaLink(device), in_place)
