"""Metrics: the observer that counts what every table reports."""

from __future__ import annotations

from dataclasses import dataclass, field

from hobbit.api import Action, Device
from hobbit.runtime.events import LayerEvent, Observer

_USE, _LOAD, _SKIP, _ = Action  # a global is read faster than a member of an enumeration


@dataclass(slots=True)
class Phase:
    """Counts of one phase (prefill or decode); per-level lists have one entry a precision level, high first.

    `layers` counts those that ran, over all passes, `demands` (layer, expert) requests, `selections` (token,
    expert) choices of the router. A demand is a hit if a copy of the level it was served at was resident or
    in flight. Bytes are those of issued copies, and `in_place_bytes` those that the device read over the link
    of experts that host and device shared. Times are nanoseconds on the device's clock.
    """

    levels: int
    passes: int = 0
    layers: int = 0
    tokens: int = 0
    demands: int = 0
    hits: list[int] = field(default_factory=list)
    misses: list[int] = field(default_factory=list)
    skipped: int = 0
    hosted: int = 0
    selections: int = 0
    served: list[int] = field(default_factory=list)
    skipped_selections: int = 0
    hosted_selections: int = 0
    prefetches: list[int] = field(default_factory=list)
    prefetches_used: int = 0
    prefetches_dropped: int = 0
    evictions: int = 0
    demand_bytes: int = 0
    prefetch_bytes: int = 0
    in_place_bytes: int = 0
    stall_ns: int = 0
    time_ns: int = 0

    def __post_init__(self) -> None:
        for counts in (self.hits, self.misses, self.served, self.prefetches):
            counts.extend([0] * (self.levels - len(counts)))

    @property
    def loads(self) -> int:
        """Copies issued, prefetches included."""
        return sum(self.misses) + sum(self.prefetches)

    @property
    def bytes(self) -> int:
        """Bytes of all copies issued, and of what was read in place."""
        return self.demand_bytes + self.prefetch_bytes + self.in_place_bytes

    @property
    def hit_ratio(self) -> float:
        """Hits of any level over demands that wanted a copy (skips and host runs are neither)."""
        wanted = sum(self.hits) + sum(self.misses)
        return sum(self.hits) / wanted if wanted else 0.0

    def level_hit_ratio(self, level: int) -> float:
        """Hits over demands served at this level on the device."""
        wanted = self.hits[level] + self.misses[level]
        return self.hits[level] / wanted if wanted else 0.0

    def share(self, count: int) -> float:
        """`count` over all selections."""
        return count / self.selections if self.selections else 0.0

    def miss_penalty(self, sizes: tuple[int, ...]) -> float:
        """Misses weighed by cost: a high miss counts 1, a low miss B_low/B_high (HOBBIT, section 3.4)."""
        return sum(count * size / sizes[0] for count, size in zip(self.misses, sizes, strict=False))

    @property
    def tokens_per_second(self) -> float:
        """Tokens over time, on the device's clock."""
        return self.tokens / (self.time_ns / 1e9) if self.time_ns else 0.0


class Metrics(Observer):
    """Counts prefill (first passes of sequences, and several tokens of one request) and decode apart.

    `blob_bytes[p]` is one blob of level p.
    """

    def __init__(self, blob_bytes: tuple[int, ...], device: Device) -> None:
        self.prefill = Phase(len(blob_bytes))
        self.decode = Phase(len(blob_bytes))
        self._blob_bytes = blob_bytes
        self._device = device
        self._phase = self.prefill
        self._started_ns = 0
        self._stalled_ns = 0

    def begin_pass(self, tokens: int, context: int, requests: int = 1) -> None:
        """Choose the phase and start its clock."""
        phase = self._phase = self.prefill if context == 0 or tokens > requests else self.decode
        phase.passes += 1
        phase.tokens += tokens
        self._stalled_ns = self._device.report().stall_ns
        self._started_ns = self._device.now_ns()

    def end_pass(self) -> None:
        """Stop the clock."""
        self._phase.time_ns += self._device.now_ns() - self._started_ns
        # A GPU tells of its waits layers later: the pass alone has them all.
        self._phase.stall_ns += self._device.report().stall_ns - self._stalled_ns

    def layer(self, event: LayerEvent) -> None:
        """Add one layer's counts."""
        phase = self._phase
        for (action, level, share), demands, tokens in event.outcomes:
            phase.demands += demands
            phase.selections += tokens
            if action is _USE:
                phase.hits[level] += demands
                phase.served[level] += tokens
            elif action is _LOAD:
                phase.misses[level] += demands
                phase.served[level] += tokens
            elif action is _SKIP:
                phase.skipped += demands
                phase.skipped_selections += tokens
            else:
                phase.hosted += demands
                phase.hosted_selections += tokens
                phase.in_place_bytes += demands * round((1 - share) * self._blob_bytes[level])
        phase.layers += 1
        for copy in event.loads:
            phase.demand_bytes += copy.nbytes
        for copy in event.prefetches:
            phase.prefetches[copy.key.level] += 1
            phase.prefetch_bytes += copy.nbytes
        phase.prefetches_used += len(event.first_uses)
        phase.prefetches_dropped += event.dropped
        phase.evictions += len(event.evicted)
