"""Where an expert can be parted, so that host and device compute a part of its hidden units each."""

from __future__ import annotations

from dataclasses import dataclass
from math import lcm

from hobbit.api import BlobLayout
from hobbit_devices.host_ffn import HostFfn


@dataclass(frozen=True, slots=True)
class ExpertCut:
    """Experts of `units` hidden units and `nbytes` bytes, to be parted at multiples of `step`."""

    units: int
    step: int
    nbytes: int

    @staticmethod
    def of(layout: BlobLayout, ffn: HostFfn) -> ExpertCut | None:
        """For blobs of `layout`, `ffn` being the host's product; None where either side takes them whole.

        Whether the device has kernels for such blobs is for whoever asks it to run a part.
        """
        format = ffn.format
        if format is None or not (ffn.cut and format.cut):
            return None
        return ExpertCut(format.ffn, lcm(ffn.cut, format.cut), layout.nbytes)

    def at(self, share: float) -> int:
        """The units, from the first on, that come closest to this share of all."""
        return min(self.units, round(share * self.units / self.step) * self.step)

    def bytes_of(self, units: int) -> int:
        """Bytes of so many units."""
        return self.nbytes * units // self.units
