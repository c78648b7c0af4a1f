from dataclasses import dataclass
from typing import ClassVar

from hobbit_devices.sim import SimDevice

from hobbit.api import hookimpl


@dataclass
class SmallCard(SimDevice):
    """A simulated 8 GiB card. A YAML file over `device: sim` does the same without code."""

    name: ClassVar[str] = "small_card"
    label: str = "8 GiB card (simulated)"
    memory: str = "8GiB"
    memory_gb_s: float = 300.0
    link_gb_s: float = 12.0


@hookimpl
def hobbit_devices():
    return [SmallCard]
