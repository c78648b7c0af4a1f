"""What policies may assume of a GPU and its host: nominal constants or, once measured, the machine's own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from hobbit.api import Context
from hobbit.api.quantizer import NATIVE
from hobbit_devices.nominal_costs import NominalCosts

PRODUCTS = (NATIVE, "int8")
"""Precisions that torch multiplies with as they are on the host; others it decodes first."""


@dataclass(frozen=True, slots=True)
class HostCost:
    """Nanoseconds of one expert on the host: for one token, and for each further one."""

    first_ns: float
    further_ns: float

    def of(self, tokens: int) -> int:
        """For `tokens` tokens at once."""
        return round(self.first_ns + (tokens - 1) * self.further_ns)


@dataclass(slots=True)
class GpuCosts:
    """Meets `CostModel`. Where `copies` and `hosts` have a level they replace the nominal numbers.

    `in_place` has the levels that the kernels can read in the host's memory.

    They are filled before the first layer and then stay, so that decisions do not follow the clock. Nominal:
    weights that the host has to decode appear at `decode_gb_s`, 10^9 bytes of decoded weights a second.
    `compiled`: up to how many tokens host kernels spare it that, by precision.
    """

    nominal: NominalCosts
    context: Context
    decode_gb_s: float
    compiled: Mapping[str, int] = field(default_factory=dict)
    copies: dict[int, int] = field(default_factory=dict)
    hosts: dict[int, HostCost] = field(default_factory=dict)
    in_place: dict[int, int] = field(default_factory=dict)

    def copy_ns(self, level: int) -> int:
        """See `CostModel`."""
        measured = self.copies.get(level)
        return self.nominal.copy_ns(level) if measured is None else measured

    def device_ns(self, level: int, tokens: int) -> int:
        """See `CostModel`."""
        return self.nominal.device_ns(level, tokens)

    def host_ns(self, level: int, tokens: int) -> int:
        """See `CostModel`."""
        measured = self.hosts.get(level)
        if measured is not None:
            return measured.of(tokens)
        cost = self.nominal.host_ns(level, tokens)
        precision, geometry = self.context.precisions[level], self.context.geometry
        if precision in (*PRODUCTS, geometry.dtype) or tokens <= self.compiled.get(precision, 0):
            return cost
        return cost + round(geometry.expert_values * geometry.item_bytes / self.decode_gb_s)

    def read_in_place(self, levels: Iterable[int]) -> None:
        """The kernels read these levels in place, nominally as fast as they are copied."""
        self.in_place = {level: self.nominal.copy_ns(level) for level in levels}

    def in_place_ns(self, level: int, tokens: int) -> int | None:
        """See `CostModel`: one token at a time."""
        return self.in_place.get(level) if tokens == 1 else None
