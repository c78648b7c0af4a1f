"""A device that is only described: it charges a virtual clock from a profile's numbers."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import ClassVar

from hobbit.api import Context, DeviceComponent
from hobbit.errors import ConfigError
from hobbit.sizes import parse_budget, parse_size
from hobbit_devices.expert_home import ExpertHome
from hobbit_devices.sim_costs import Roofline, SimCosts
from hobbit_devices.simulator import Simulator
from hobbit_devices.streams import SECOND, Interval, Stream
from hobbit_devices.virtual_clock import VirtualClock


class Home(Enum):
    """Where experts lie that are not on the device."""

    host = "host"
    disk = "disk"


@dataclass
class SimDevice(DeviceComponent):
    """Simulated device: maths on the CPU, time and bytes from the numbers of a profile.

    Rates are practical ones: `*_gb_s` in 10^9 bytes/s, `tflops` and `host_tflops` in 10^12 16-bit
    operations/s (quantised experts are computed in 16 bits too). `link` joins host and device memory, `disk`
    feeds the host's memory, or the device's where memory is unified. Experts beyond `host_memory` lie on
    disk. `layer_overhead_us` is charged once per MoE layer and pass, whatever the policy.
    """

    name: ClassVar[str] = "sim"
    simulated: ClassVar[bool] = True
    host_slots: ClassVar[bool] = True
    source: ClassVar[str] = "roofline model, doi 10.1145/1498765.1498785"
    label: str = "simulated 24 GiB card"
    memory: str = "24GiB"
    tflops: float = 100.0
    memory_gb_s: float = 1000.0
    link_gb_s: float = 25.0
    link_latency_us: float = 10.0
    disk_gb_s: float = 3.0
    disk_latency_us: float = 100.0
    host_memory: str = "256GiB"
    host_tflops: float = 1.0
    host_gb_s: float = 50.0
    host_latency_us: float = 20.0
    experts_home: Home = Home.host
    layer_overhead_us: float = 500.0
    timeline: bool = False

    def capacity_bytes(self) -> int:
        """`memory` less `reserve`."""
        capacity = parse_budget(self.memory, "device.memory") - parse_size(self.reserve, "device.reserve")
        if capacity <= 0:
            raise ConfigError(
                f"device.reserve={self.reserve!r} leaves nothing of device.memory={self.memory!r}; lower it"
            )
        return capacity

    def build(self, context: Context) -> Simulator:
        """The simulator. Raises ConfigError if a number is not positive or the homes make no sense."""
        self._check()
        log: list[Interval] | None = [] if self.timeline else None
        disk = Stream("disk", _per_second(self.disk_gb_s), _nanoseconds(self.disk_latency_us), log)
        link = Stream("link", _per_second(self.link_gb_s), _nanoseconds(self.link_latency_us), log)
        movers = (disk,) if self.unified else (disk, link)
        home = ExpertHome(movers, self._experts_in_host(context), context.shape)
        costs = self._costs(context, home)
        return Simulator(costs, context.blob_bytes, VirtualClock(movers, log), home, self.unified)

    def _check(self) -> None:
        for option in ("tflops", "memory_gb_s", "link_gb_s", "disk_gb_s", "host_tflops", "host_gb_s"):
            rate = getattr(self, option)
            if rate <= 0:
                raise ConfigError(f"device.{option}={rate} is not a rate; give a positive number")
        if self.unified and self.experts_home is Home.host:
            raise ConfigError("device.experts_home=host makes no sense with unified memory; use disk")

    def _experts_in_host(self, context: Context) -> int:
        """Experts whose copies of all levels fit in the host's memory."""
        if self.experts_home is Home.disk:
            return 0
        return parse_size(self.host_memory, "device.host_memory") // sum(context.blob_bytes)

    def _costs(self, context: Context, home: ExpertHome) -> SimCosts:
        return SimCosts(
            context.geometry,
            context.blob_bytes,
            Roofline(int(self.tflops * 1e12), _per_second(self.memory_gb_s)),
            Roofline(int(self.host_tflops * 1e12), _per_second(self.host_gb_s)),
            _nanoseconds(self.host_latency_us),
            _per_second(self.memory_gb_s if self.unified else self.link_gb_s),
            tuple(map(home.mean_fetch_ns, context.blob_bytes)),
            tuple(map(home.mean_read_ns, context.blob_bytes)),
            _nanoseconds(self.layer_overhead_us),
            self.unified,
        )


def _per_second(gigabytes: float) -> int:
    return round(gigabytes * 1e9)


def _nanoseconds(microseconds: float) -> int:
    return round(microseconds * SECOND / 1e6)
