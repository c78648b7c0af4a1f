"""Where the copies of experts come from, on a simulated device."""

from __future__ import annotations

from functools import cache

from hobbit.api import ExpertKey, RoutingShape
from hobbit_devices.streams import Stream


class ExpertHome:
    """The stages that an expert's bytes pass: the disk, then the link to the device if it has one.

    `in_host` experts lie in the host's memory and need no disk. They are spread evenly: flat expert
    `layer * E + e` of N lies in host memory if `floor((flat + 1) * in_host / N)` is above
    `floor(flat * in_host / N)`. Experts on disk stay there: no page cache is assumed. `link` are the stages
    between the host's memory and the device.
    """

    def __init__(self, movers: tuple[Stream, ...], in_host: int, shape: RoutingShape) -> None:
        self._all = movers
        self.link = movers[1:]
        self._disk = movers[:1]
        self._experts = shape.experts
        self._total = shape.layers * shape.experts
        self._in_host = min(in_host, self._total)
        self.to_device = cache(self._to_device)  # asked for every copy

    def on_disk(self, key: ExpertKey) -> bool:
        """True if the expert must be read from the disk."""
        if self._in_host == self._total:
            return False
        flat = key.layer * self._experts + key.expert
        return (flat + 1) * self._in_host // self._total == flat * self._in_host // self._total

    def _to_device(self, key: ExpertKey) -> tuple[Stream, ...]:
        """Stages of a copy to the device, in order."""
        return self._all if self.on_disk(key) else self.link

    def to_host(self, key: ExpertKey) -> tuple[Stream, ...]:
        """Stages of a copy to the host's memory: none if it lies there."""
        return self._disk if self.on_disk(key) else ()

    def mean_fetch_ns(self, nbytes: int) -> int:
        """Nanoseconds to the device on idle streams, the mean over all experts."""
        beyond = sum(stream.duration_ns(nbytes) for stream in self.link)
        return beyond + self.mean_read_ns(nbytes)

    def mean_read_ns(self, nbytes: int) -> int:
        """Nanoseconds to the host's memory on an idle disk, the mean over all experts."""
        disk = sum(stream.duration_ns(nbytes) for stream in self._disk)
        return disk * (self._total - self._in_host) // self._total
