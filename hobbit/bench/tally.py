"""Tally: the observer that counts what a bench's efficiency is made of."""

from __future__ import annotations

from dataclasses import dataclass, field

from hobbit.api import Action, Decision, ExpertKey
from hobbit.runtime import Observer
from hobbit.runtime.events import LayerEvent


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
        self._prefetched: set[ExpertKey] = set()
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
        counts = self._counts
        for demand, decision in zip(event.demands, event.decisions, strict=True):
            self._decided(ExpertKey(event.layer, demand.expert, decision.level), decision, demand.tokens)
        copies = (*event.loads, *event.prefetches)
        counts.moved += sum(copy.nbytes for copy in copies)
        counts.copied += sum(copy.nbytes for copy in event.loads)
        self._prefetched.update(copy.key for copy in event.prefetches)
        self._prefetched.difference_update(event.evicted)

    def _decided(self, key: ExpertKey, decision: Decision, tokens: int) -> None:
        counts, action = self._counts, decision.action
        counts.selections += tokens
        if action is Action.SKIP:
            counts.skipped += tokens
            return
        counts.served[key.level] += tokens
        if action is Action.USE:
            counts.hits += 1
            if key in self._prefetched:
                self._prefetched.discard(key)
                counts.copied += self.blob_bytes[key.level]
        elif action is Action.LOAD:
            counts.misses += 1
        else:
            counts.misses += 1
            counts.host_selections += tokens
            hosted = round(decision.share * self.blob_bytes[key.level])
            counts.hosted += hosted
            counts.moved += self.blob_bytes[key.level] - hosted
            counts.copied += self.blob_bytes[key.level] - hosted
