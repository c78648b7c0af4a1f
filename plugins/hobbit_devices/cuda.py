"""An NVIDIA GPU."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from hobbit.api import Context
from hobbit.errors import DeviceError
from hobbit_devices.gpu_costs import GpuCosts
from hobbit_devices.host_kernels import FEW_TOKENS, HostMaths, choose_kernels
from hobbit_devices.torch_component import TorchComponent

if TYPE_CHECKING:
    from hobbit_devices.streamed_device import StreamedDevice

ABSENT = "device=cuda: no CUDA device is visible; use device=cpu or device=auto"


@dataclass
class CudaDevice(TorchComponent):
    """An NVIDIA GPU: copies, kernels and host experts side by side, none waiting for the host.

    The default rates are an H200's, as its simulated profile has them, and for the host what 14 cores of such
    a machine read by `host_kernels`. `graphs`: replay decode steps from CUDA graphs, cut at the experts,
    where the KV cache is static; run norms fused. `host_threads` run the experts that stay on the host, each
    on a core of its own (0: all cores but two), by `host_kernels`: a small C library that is compiled here
    once, or torch alone, which decodes lossless12, int4 and int2 first, at `host_decode_gb_s`. With
    `deterministic=false` the rates of copies and of the host are measured at start, and what host and link
    take of shared experts is followed as the run goes.
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
    host_gb_s: float = 90.0
    graphs: bool = True
    host_threads: int = 0
    host_kernels: HostMaths = HostMaths.auto
    host_decode_gb_s: float = 6.0
    block: str = "8MiB"

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

    def build(self, context: Context) -> StreamedDevice:
        """The device. Raises DeviceError where there is none."""
        import torch

        if not torch.cuda.is_available():
            raise DeviceError(ABSENT)
        from hobbit_devices.calibration import Calibration
        from hobbit_devices.cuda_driver import CudaDriver
        from hobbit_devices.cuda_streams import CudaStreams
        from hobbit_devices.fused_choice import FusedChoice
        from hobbit_devices.host_cores import physical_cores, settle_on, team
        from hobbit_devices.host_kernels.compiled_lane import CompiledLane
        from hobbit_devices.host_kernels.host_team import HostTeam
        from hobbit_devices.host_lane import HostLane
        from hobbit_devices.locked_pages import LockedPages
        from hobbit_devices.streamed_device import StreamedDevice

        device = torch.device("cuda", torch.cuda.current_device())
        cores = team(self.host_threads, physical_cores())
        kernels = choose_kernels(self.host_kernels, context.notes)
        streams = CudaStreams(device, CudaDriver.find())
        hosts = None if kernels is None else HostTeam(kernels, cores)
        compiled = None
        if kernels is not None and hosts is not None and streams.maps:
            compiled = CompiledLane(kernels, hosts, check=torch.cuda.current_stream(device).query)
        lane = HostLane(True, lambda: settle_on(cores), kernels, hosts, compiled)
        choose = FusedChoice(device, streams, context.notes)
        few = FEW_TOKENS if kernels is not None else {}
        costs = GpuCosts(self.costs(context), context, self.host_decode_gb_s, few)
        calibration = None if context.deterministic else Calibration(costs, context.notes)
        pages = LockedPages(context.shape, context.notes)
        return StreamedDevice(device, costs, streams, lane, choose, calibration, pages)
