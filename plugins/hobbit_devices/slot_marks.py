"""What is going on in each slot: who reads it, and what is arriving."""

from __future__ import annotations

from collections.abc import Iterable

from hobbit_devices.gpu_streams import GpuStreams, Mark
from hobbit_devices.transfer import Transfer

Place = tuple[int, int]
"""Level and slot."""


class SlotMarks:
    """The readers of each slot, and the transfer into it that no reader has waited for.

    A slot that was read is marked when it is to be written again, behind all that is queued by then: where
    nothing moves, nothing is marked, nor where all that was queued is done by then.
    """

    def __init__(self, streams: GpuStreams) -> None:
        self._streams = streams
        self._unmarked: set[Place] = set()
        self._readers: dict[Place, Mark] = {}
        self._arriving: dict[Place, Transfer] = {}

    def begin_layer(self) -> None:
        """A layer's routing is known: most often all that was queued before is done, and nobody reads on."""
        if (self._unmarked or self._readers) and self._streams.idle():
            self._unmarked.clear()
            self._readers.clear()

    def unread(self, place: Place) -> bool:
        """Whether somebody may have yet to read the slot, without a mark."""
        return place in self._unmarked

    def write(self, transfer: Transfer) -> None:
        """A transfer is to fill its slot: it gets a mark behind the last reader."""
        place = transfer.copy.key.level, transfer.copy.slot
        if place in self._unmarked:
            if self._streams.idle():
                self._readers.clear()
            else:
                self._readers.update(dict.fromkeys(self._unmarked, self._streams.computed()))
            self._unmarked.clear()
        transfer.reader = self._readers.get(place)  # kept: this transfer may be cancelled before it starts
        self._arriving[place] = transfer

    def arriving(self, place: Place) -> Transfer | None:
        """The transfer that a reader of the slot has to wait for."""
        return self._arriving.get(place)

    def arrived(self, place: Place) -> None:
        """The compute queue has been told to wait for it."""
        self._arriving.pop(place, None)

    def read(self, places: Iterable[Place]) -> None:
        """What was queued last reads these slots."""
        self._unmarked.update(places)
