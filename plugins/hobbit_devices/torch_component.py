"""What the components of all real devices share: their nominal numbers."""

from __future__ import annotations

from dataclasses import dataclass

from hobbit.api import Context, DeviceComponent
from hobbit.errors import BudgetError, ConfigError
from hobbit.sizes import format_size, parse_budget, parse_size
from hobbit_devices.nominal_costs import NominalCosts
from hobbit_devices.sim_costs import Roofline


@dataclass
class TorchComponent(DeviceComponent):
    """The rates are nominal: policies that weigh copying against computing read them; time is measured.

    `*_gb_s` in 10^9 bytes/s, `tflops` and `host_tflops` in 10^12 operations/s. Copies of blobs of up to
    `in_place` are made by the computing thread itself.
    """

    tflops: float = 1.0
    memory_gb_s: float = 50.0
    link_gb_s: float = 25.0
    link_latency_us: float = 10.0
    host_tflops: float = 1.0
    host_gb_s: float = 50.0
    in_place: str = "0"

    def capacity_bytes(self) -> int:
        """`memory` (auto: what is free now) less `reserve`. Raises BudgetError if nothing is left."""
        auto = self.memory == "auto"
        memory = self.free_bytes() if auto else parse_budget(self.memory, "device.memory")
        capacity = memory - parse_size(self.reserve, "device.reserve")
        if capacity <= 0:
            raise BudgetError(
                f"device.reserve={self.reserve!r} leaves nothing of the {format_size(memory)} of "
                f"device={self.name}; free memory, or set memory.device"
            )
        return capacity

    def free_bytes(self) -> int:
        """Memory that a run may take now, in bytes."""
        raise NotImplementedError

    def costs(self, context: Context) -> NominalCosts:
        """The cost model. Raises ConfigError if a rate is not positive."""
        for option in ("tflops", "memory_gb_s", "link_gb_s", "host_tflops", "host_gb_s"):
            if getattr(self, option) <= 0:
                raise ConfigError(
                    f"device.{option}={getattr(self, option)} is not a rate; give a positive number"
                )
        return NominalCosts(
            context,
            Roofline(round(self.tflops * 1e12), round(self.memory_gb_s * 1e9)),
            Roofline(round(self.host_tflops * 1e12), round(self.host_gb_s * 1e9)),
            1 / self.link_gb_s,
            round(self.link_latency_us * 1e3),
        )
