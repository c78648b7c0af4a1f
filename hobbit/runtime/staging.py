"""Staging slots: where prefetched experts wait until really used (mixtral-offloading, section 3.2)."""

from __future__ import annotations

from hobbit.api import ExpertKey


class Staging:
    """N device slots outside the cache, oldest out first.

    An expert that is demanded leaves by swapping slots with the cache, so that no byte is copied twice.
    """

    __slots__ = ("_free", "_pinned", "_slots")

    def __init__(self, physical: list[int]) -> None:
        self._free = list(physical)
        self._slots: dict[ExpertKey, int] = {}
        self._pinned: set[ExpertKey] = set()

    def __contains__(self, key: ExpertKey) -> bool:
        return key in self._slots

    def slot(self, key: ExpertKey) -> int:
        """The device slot of a staged copy."""
        return self._slots[key]

    @property
    def full(self) -> bool:
        """True if one must leave for the next to enter."""
        return not self._free

    def oldest(self) -> ExpertKey | None:
        """Who entered first among those not pinned; None if there is nobody."""
        return next((key for key in self._slots if key not in self._pinned), None)

    def enter(self, key: ExpertKey) -> int:
        """Give `key` a free slot and return it."""
        slot = self._slots[key] = self._free.pop()
        return slot

    def leave(self, key: ExpertKey) -> None:
        """Free the slot of `key`."""
        self._pinned.discard(key)
        self._free.append(self._slots.pop(key))

    def swap(self, key: ExpertKey, freed: int) -> int:
        """Take `key` out with its slot; `freed`, a slot from the cache, takes its place in the reserve."""
        self._free.append(freed)
        return self._slots.pop(key)

    def pin(self, key: ExpertKey) -> None:
        """Keep `key` until `release`: it is served from here."""
        self._pinned.add(key)

    def release(self) -> None:
        """The layer has run: nobody is pinned any more."""
        self._pinned.clear()
