"""Devices: what really executes (cpu, cuda, mps) and what is only charged (sim)."""

from __future__ import annotations

from collections.abc import Iterable

from hobbit.api import DeviceComponent, hookimpl
from hobbit_devices.cpu import CpuDevice
from hobbit_devices.cuda import CudaDevice
from hobbit_devices.mps import MpsDevice
from hobbit_devices.sim import SimDevice


@hookimpl
def hobbit_devices() -> Iterable[type[DeviceComponent]]:
    """One component a file."""
    return [CpuDevice, CudaDevice, MpsDevice, SimDevice]
