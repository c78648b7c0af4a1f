"""A stream of the virtual clock: one resource that moves bytes, one transfer at a time."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from hobbit.api import Copy, ExpertKey

SECOND = 1_000_000_000
"""Nanoseconds."""


def ceil_div(amount: int, rate: int) -> int:
    """`amount / rate`, rounded up: no cost is ever rounded away."""
    return -(-amount // rate)


class Interval(NamedTuple):
    """A stretch of work on a stream, for a picture of the timeline. Copies move `nbytes` in it."""

    stream: str
    start_ns: int
    end_ns: int
    what: object
    nbytes: int = 0
    prefetch: bool = False


class Transfer:
    """The bytes of one expert copy on their way through `stages`, one after another (store and forward).

    `copy` is told when the last stage is over; None for bytes that the host itself reads. `prefetch`: it was
    not urgent when it was queued, whatever became of it.
    """

    __slots__ = (
        "cancelled", "copy", "done", "done_ns", "key", "left", "nbytes", "prefetch", "stage", "stages",
        "urgent",
    )  # fmt: skip

    def __init__(
        self, key: ExpertKey, nbytes: int, urgent: bool, stages: tuple[Stream, ...], copy: Copy | None = None
    ) -> None:
        self.key = key
        self.nbytes = nbytes
        self.urgent = urgent
        self.prefetch = not urgent
        self.stages = stages
        self.copy = copy
        self.stage = 0
        self.left = nbytes
        self.cancelled = False
        self.done = False
        self.done_ns = 0

    @property
    def stream(self) -> Stream:
        """Where it is now."""
        return self.stages[self.stage]

    def leave_stage(self, at_ns: int) -> None:
        """All bytes have passed this stage: enter the next one, or arrive."""
        if self.stage + 1 < len(self.stages):
            self.stage += 1
            self.left = self.nbytes
            self.stream.submit(self, at_ns)
            return
        self.done = True
        self.done_ns = at_ns
        if self.copy is not None:
            self.copy.done = True
            self.copy.ready_ns = at_ns


class Stream:
    """Serves transfers one at a time, urgent ones first, each group in order of arrival.

    A started transfer runs to its end (HOBBIT), or, with `block_bytes` > 0, stops at the next block
    boundary when an urgent one arrives, and resumes later for one latency more (MoE-APEX). `bandwidth` is
    in bytes/s. Time is worked out lazily: `advance` plays what happened up to an instant. Everything said
    at one instant is heard before the stream chooses what to serve at that instant.
    """

    def __init__(self, name: str, bandwidth: int, latency_ns: int, log: list[Interval] | None = None) -> None:
        self.name = name
        self.bandwidth = bandwidth
        self.latency_ns = latency_ns
        self.block_bytes = 0
        self.clock_ns = 0  # of no meaning while idle
        self.idle = True
        self.busy_ns = 0
        self.moved_bytes = 0
        self._log = log
        self._urgent: deque[Transfer] = deque()
        self._queued: deque[Transfer] = deque()
        self._current: Transfer | None = None
        self._start_ns = 0
        self._end_ns = 0
        self._durations: dict[int, int] = {}  # by bytes: blobs come in two sizes
        self._moving = 0  # bytes that the current stretch moves: fewer than `left` once it is cut short

    def duration_ns(self, nbytes: int) -> int:
        """Nanoseconds that `nbytes` take here when nothing else runs."""
        known = self._durations.get(nbytes)
        if known is None:
            known = self._durations[nbytes] = self.latency_ns + ceil_div(nbytes * SECOND, self.bandwidth)
        return known

    def submit(self, transfer: Transfer, at_ns: int) -> None:
        """Queue `transfer` at `at_ns`, which is not in this stream's past."""
        if not self.idle and self.clock_ns < at_ns:
            self.advance(at_ns)
        if self.idle:
            self.idle = False
            self.clock_ns = at_ns
        if transfer.urgent:
            self._urgent.append(transfer)
            self._make_way()
        else:
            self._queued.append(transfer)

    def promote(self, transfer: Transfer) -> None:
        """Serve `transfer`, queued or started here, with the urgent ones from now on."""
        transfer.urgent = True
        if transfer is not self._current:
            self._queued.remove(transfer)
            self._urgent.append(transfer)
            self._make_way()

    def drop(self, transfer: Transfer) -> None:
        """Forget `transfer`, queued or started here; bytes already under way are moved and counted."""
        transfer.cancelled = True
        if transfer is self._current:
            self._cut()
        else:
            (self._urgent if transfer.urgent else self._queued).remove(transfer)

    def advance(self, until_ns: int) -> None:
        """Play everything up to `until_ns`."""
        while self.clock_ns < until_ns and (self._current is not None or self._serving()):
            if self._end_ns > until_ns:
                self.clock_ns = until_ns
            else:
                self.clock_ns = self._end_ns
                self._finish()

    def next_event_ns(self) -> int | None:
        """When the transfer in service ends, if no other arrives; None if there is nothing to do."""
        return self._end_ns if self._current is not None or self._serving() else None

    def _serving(self) -> bool:
        """Whether a transfer is in service; starts the next one if none is, and is idle if there is none."""
        if self._current is not None:
            return True
        queue = self._urgent or self._queued
        if not queue:
            self.idle = True
            return False
        transfer = self._current = queue.popleft()
        self._moving = transfer.left
        self._start_ns = self.clock_ns
        self._end_ns = self.clock_ns + self.duration_ns(transfer.left)
        return True

    def _finish(self) -> None:
        transfer, self._current = self._current, None
        assert transfer is not None
        self.busy_ns += self._end_ns - self._start_ns
        self.moved_bytes += self._moving
        transfer.left -= self._moving
        if self._log is not None:
            moved = (transfer.key, self._moving, transfer.prefetch)
            self._log.append(Interval(self.name, self._start_ns, self._end_ns, *moved))
        if transfer.cancelled:
            return
        if not transfer.left:
            transfer.leave_stage(self._end_ns)
        elif transfer.urgent:
            self._urgent.append(transfer)
        else:
            self._queued.appendleft(transfer)

    def _make_way(self) -> None:
        """An urgent transfer waits: cut a prefetch short if blocks allow it."""
        if self._current is not None and not self._current.urgent:
            self._cut()

    def _cut(self) -> None:
        """End the current stretch at the next block boundary, if copies are made in blocks."""
        if not self.block_bytes:
            return
        elapsed = self.clock_ns - self._start_ns - self.latency_ns
        blocks = max(1, ceil_div(elapsed * self.bandwidth // SECOND, self.block_bytes))
        moving = blocks * self.block_bytes
        if moving < self._moving:
            self._moving = moving
            # Rounding may put the boundary a nanosecond into the past.
            self._end_ns = max(self.clock_ns, self._start_ns + self.duration_ns(moving))
            if self._end_ns == self.clock_ns:
                self._finish()  # the boundary is now: no later instant would bring it
