"""What host and link have done of the experts of one pass."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class SharedWork:
    """Experts of one-token layers, by level, parts of one as fractions of it.

    `hosted[p]` ran on the host, which computed for `host_ns` nanoseconds, waiting left out; `read[p]` were
    read in place by the device, in `read_ns`. What else host and link did is not counted, nor its time.
    """

    hosted: list[float]
    read: list[float]
    host_ns: int = 0
    read_ns: int = 0

    @staticmethod
    def none(levels: int) -> SharedWork:
        """Nothing yet."""
        return SharedWork([0.0] * levels, [0.0] * levels)
