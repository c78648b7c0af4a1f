"""What policies may assume of a real device: its nominal numbers, never the clock."""

from __future__ import annotations

from dataclasses import dataclass

from hobbit.api import Context
from hobbit_devices.sim_costs import Roofline


@dataclass(frozen=True, slots=True)
class NominalCosts:
    """A `CostModel` from constants: a link of `link_ns_per_byte`, and a roofline each for device and host.

    One expert on n tokens costs max(2 x weights x n / peak, blob bytes / memory bandwidth).
    """

    context: Context
    device: Roofline
    host: Roofline
    link_ns_per_byte: float
    latency_ns: int

    def copy_ns(self, level: int) -> int:
        """See `CostModel`."""
        return self.latency_ns + round(self.context.blob_bytes[level] * self.link_ns_per_byte)

    def device_ns(self, level: int, tokens: int) -> int:
        """See `CostModel`."""
        return self.device.step_ns(self._flops(tokens), self.context.blob_bytes[level])

    def host_ns(self, level: int, tokens: int) -> int:
        """See `CostModel`. Activations go there and come back: one hidden vector a token each way."""
        geometry = self.context.geometry
        way = self.latency_ns + round(tokens * geometry.hidden * geometry.item_bytes * self.link_ns_per_byte)
        return 2 * way + self.host.step_ns(self._flops(tokens), self.context.blob_bytes[level])

    def in_place_ns(self, level: int, tokens: int) -> int | None:
        """See `CostModel`: a copy is needed."""
        return None

    def _flops(self, tokens: int) -> int:
        return 2 * self.context.geometry.expert_values * tokens
