"""The work of one layer, sorted by what it waits for."""

from __future__ import annotations

from hobbit.api import Copy, ExpertKey, Job


class LayerWork:
    """`ready` runs at once, `hosted` on the host, `late` after `copies` have arrived.

    `misses` are still to be queued, as (copy wanted, tokens).
    """

    __slots__ = ("copies", "hosted", "late", "misses", "ready")

    def __init__(self) -> None:
        self.ready: list[Job] = []
        self.hosted: list[Job] = []
        self.late: list[Job] = []
        self.copies: list[Copy] = []
        self.misses: list[tuple[ExpertKey, int]] = []
