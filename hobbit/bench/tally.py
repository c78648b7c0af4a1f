"""Tally: the observer that counts what a bench's efficiency is made of."""

from __future__ import annotations

from dataclasses import dataclass, field

from hobbit.api import Action
from hobbit.runtime import Observer
from hobbit.runtime.events import LayerEvent

_USE, _, _SKIP, _HOST = Action  # a global is read faster than a member of an enumeration


@dataclass(slots=True)
class Counts:
    """Of one phase. `served[p]` are selections served on the device or the host at level p.

    `moved` counts the bytes of every copy issued, `copied` those of copies that a demand used (a prefetch
    counts at its first use), `hosted` the weight bytes that the host read to run experts. What the device
    read of these over the link counts as moved and copied.
    """

    tokens: int = 0
    selections: int = 0
    served: list[int] = field(default_factory=lambda: [0, 0])
    skipped: int = 0
    host_selections: int = 0
    hits: int = 0
    misses: int = 0
    moved: int = 0
    copied: int = 0
    hosted: int = 0


class Tally(Observer):
    """Counts prefill and decode apart, from the last `reset` on. `blob_bytes[p]` is one blob of level p."""

    def __init__(self, blob_bytes: tuple[int, ...]) -> None:
        self.blob_bytes = blob_bytes
        self.reset()

    def reset(self) -> None:
        """Count from zero."""
        self.prefill, self.decode = Counts(), Counts()
        self._counts = self.prefill

    def begin_pass(self, tokens: int, context: int, requests: int) -> None:
        """Choose the phase."""
        self._counts = self.prefill if context == 0 or tokens > requests else self.decode
        self._counts.tokens += tokens

    def layer(self, event: LayerEvent) -> None:
        """Add one layer's counts."""
        counts, served = self._counts, self._counts.served
        for (action, level, share), demands, tokens in event.outcomes:
            counts.selections += tokens
            if action is _SKIP:
                counts.skipped += tokens
                continue
            served[level] += tokens
            if action is _USE:
                counts.hits += demands
                continue
            counts.misses += demands
            if action is _HOST:
                counts.host_selections += tokens
                self._hosted(demands, share, self.blob_bytes[level])
        for copy in event.loads:
            counts.copied += copy.nbytes
            counts.moved += copy.nbytes
        for copy in event.prefetches:
            counts.moved += copy.nbytes
        for copy in event.first_uses:
            counts.copied += copy.nbytes

    def _hosted(self, demands: int, share: float, nbytes: int) -> None:
        counts, hosted = self._counts, round(share * nbytes)
        counts.hosted += demands * hosted
        counts.moved += demands * (nbytes - hosted)
        counts.copied += demands * (nbytes - hosted)
