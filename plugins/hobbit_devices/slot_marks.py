"""What is going on in each slot: who reads it, and what is arriving."""

from __future__ import annotations

from collections.abc import Iterable

from hobbit_devices.gpu_streams import Mark
from hobbit_devices.transfer import Transfer

Place = tuple[int, int]
"""Level and slot."""


class SlotMarks:
    """The last reader of each slot, and the transfer into it that no reader has waited for."""

    def __init__(self) -> None:
        self._readers: dict[Place, Mark] = {}
        self._arriving: dict[Place, Transfer] = {}

    def write(self, transfer: Transfer) -> None:
        """A transfer is to fill its slot: it gets the mark of the last reader."""
        place = transfer.copy.key.level, transfer.copy.slot
        transfer.reader = self._readers.get(place)
        self._arriving[place] = transfer

    def arriving(self, place: Place) -> Transfer | None:
        """The transfer that a reader of the slot has to wait for."""
        return self._arriving.get(place)

    def arrived(self, places: Iterable[Place]) -> None:
        """The compute queue has been told to wait for these."""
        for place in places:
            self._arriving.pop(place, None)

    def read(self, places: Iterable[Place], mark: Mark) -> None:
        """These slots are read until `mark`."""
        for place in places:
            self._readers[place] = mark
