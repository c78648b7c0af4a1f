"""What policies may assume of a GPU and its host: nominal constants or, once measured, the machine's own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from hobbit.api import Context
from hobbit.api.quantizer import NATIVE
from hobbit_devices.nominal_costs import NominalCosts
from hobbit_devices.run_scales import RunScales
from hobbit_devices.shared_work import SharedWork

PRODUCTS = (NATIVE, "int8")
"""Precisions that torch multiplies with as they are on the host; others it decodes first."""

NEAR = 0.04
"""How far a scale may be from the last that policies were told: shares need not be worked out for less."""


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

    They are filled before the first layer and then stay. Nominal: weights that the host has to decode appear
    at `decode_gb_s`, 10^9 bytes of decoded weights a second. `compiled`: up to how many tokens host kernels
    spare it that, by precision. Where runs may differ (`deterministic=false`), what the host takes and what
    reading in place takes are scaled as the run goes: others' work on the machine may have come or gone since
    the start. Else decisions do not follow the clock.
    """

    reads_beside: ClassVar[bool] = True

    nominal: NominalCosts
    context: Context
    decode_gb_s: float
    compiled: Mapping[str, int] = field(default_factory=dict)
    copies: dict[int, int] = field(default_factory=dict)
    hosts: dict[int, HostCost] = field(default_factory=dict)
    in_place: dict[int, int] = field(default_factory=dict)
    host_scales: RunScales = field(init=False)
    read_scales: RunScales = field(init=False)
    revision: int = 0
    _told: tuple[float, ...] = field(init=False)

    def __post_init__(self) -> None:
        levels = len(self.context.precisions)
        self.host_scales, self.read_scales = RunScales(levels), RunScales(levels)
        self._told = (1.0,) * (2 * levels)

    def follow(self, work: SharedWork) -> None:
        """Take in what a pass took; nothing where runs are to be alike."""
        if self.context.deterministic:
            return
        hosted = {level: part * self._host_ns(level, 1) for level, part in enumerate(work.hosted) if part}
        read = {level: part * self.in_place.get(level, 0) for level, part in enumerate(work.read) if part}
        self.host_scales.follow(hosted, work.host_ns)
        self.read_scales.follow(read, work.read_ns)
        scales = (*self.host_scales.values, *self.read_scales.values)
        if any(abs(now - told) > NEAR * told for now, told in zip(scales, self._told, strict=True)):
            self._told = scales
            self.revision += 1

    def copy_ns(self, level: int) -> int:
        """See `CostModel`."""
        measured = self.copies.get(level)
        return self.nominal.copy_ns(level) if measured is None else measured

    def device_ns(self, level: int, tokens: int) -> int:
        """See `CostModel`."""
        return self.nominal.device_ns(level, tokens)

    def host_ns(self, level: int, tokens: int) -> int:
        """See `CostModel`."""
        return round(self._told[level] * self._host_ns(level, tokens))

    def read_in_place(self, levels: Iterable[int]) -> None:
        """The kernels read these levels in place, nominally as fast as they are copied."""
        self.in_place = {level: self.nominal.copy_ns(level) for level in levels}

    def in_place_ns(self, level: int, tokens: int) -> int | None:
        """See `CostModel`: one token at a time."""
        if tokens > 1 or level not in self.in_place:
            return None
        return round(self._told[len(self.context.precisions) + level] * self.in_place[level])

    def _host_ns(self, level: int, tokens: int) -> int:
        """As measured or nominal."""
        measured = self.hosts.get(level)
        if measured is not None:
            return measured.of(tokens)
        cost = self.nominal.host_ns(level, tokens)
        precision, geometry = self.context.precisions[level], self.context.geometry
        if precision in (*PRODUCTS, geometry.dtype) or tokens <= self.compiled.get(precision, 0):
            return cost
        return cost + round(geometry.expert_values * geometry.item_bytes / self.decode_gb_s)


def _between(value: float, least: float, most: float) -> float:
    return min(most, max(least, value))
