"""Devices: what really executes (cpu, cuda, mps) and what is only charged (sim)."""

from __future__ import annotations

from collections.abc import Iterable

from hobbit.api import DeviceComponent, hookimpl
from hobbit_devices.sim import SimDevice


@hookimpl
def hobbit_devices() -> Iterable[type[DeviceComponent]]:
    """The simulated device."""
    return [SimDevice]
