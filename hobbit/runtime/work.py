"""The work of one layer, sorted by what it waits for."""

from __future__ import annotations

from dataclasses import dataclass, field

from hobbit.api import Copy, ExpertKey, Job


@dataclass(slots=True)
class LayerWork:
    """`ready` runs at once, `hosted` on the host, `late` after `copies` have arrived.

    `misses` are still to be queued, as (copy wanted, tokens).
    """

    ready: list[Job] = field(default_factory=list)
    hosted: list[Job] = field(default_factory=list)
    late: list[Job] = field(default_factory=list)
    copies: list[Copy] = field(default_factory=list)
    misses: list[tuple[ExpertKey, int]] = field(default_factory=list)
