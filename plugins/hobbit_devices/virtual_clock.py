"""The virtual clock: integer nanoseconds of one caller, and of the streams that work beside it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from hobbit_devices.streams import Interval, Stream, Transfer


class HostJob(NamedTuple):
    """Work for the host: it starts once `read` (if any) has arrived, and not before `since_ns`."""

    what: object
    read: Transfer | None
    since_ns: int
    duration_ns: int


class VirtualClock:
    """`now_ns` is the caller's own time, which is also the compute stream: it computes or it waits.

    `movers` move bytes in the order of a transfer's stages (disk, then link): a stage feeds only later
    ones, so each can be played up to an instant in turn. The host computes on a stream of its own.
    """

    def __init__(self, movers: tuple[Stream, ...], log: list[Interval] | None = None) -> None:
        self.now_ns = 0
        self.stall_ns = 0
        self.compute_ns = 0
        self.host_busy_ns = 0
        self.movers = movers
        self.log = log
        self._host_free_ns = 0
        self._host_jobs: list[HostJob] = []

    def compute(self, duration_ns: int, what: object) -> None:
        """The caller computes."""
        if self.log is not None:
            self.log.append(Interval("compute", self.now_ns, self.now_ns + duration_ns, what))
        self.compute_ns += duration_ns
        self.now_ns += duration_ns

    def submit(self, transfer: Transfer) -> None:
        """Queue a transfer at its first stage, now."""
        self.advance(self.now_ns)
        transfer.stages[0].submit(transfer, self.now_ns)

    def promote(self, transfer: Transfer) -> None:
        """Serve a transfer with the urgent ones, wherever it is; one that has arrived is left alone."""
        self.advance(self.now_ns)
        if not (transfer.done or transfer.urgent):
            transfer.stream.promote(transfer)

    def cancel(self, transfer: Transfer) -> None:
        """Drop what has not been moved of a transfer; one that has arrived is left alone."""
        self.advance(self.now_ns)
        if not (transfer.done or transfer.cancelled):
            transfer.stream.drop(transfer)

    def host(self, what: object, duration_ns: int, read: Transfer | None = None) -> None:
        """Give the host work; `join` waits for all of it."""
        self._host_jobs.append(HostJob(what, read, self.now_ns, duration_ns))

    def wait(self, transfers: Iterable[Transfer]) -> int:
        """Wait until all have arrived; returns the nanoseconds that took."""
        self.advance(self.now_ns)
        return self._wait_until(max(map(self._arrival, transfers), default=0))

    def join(self) -> int:
        """Wait for the host; returns the nanoseconds that took."""
        if not self._host_jobs:
            return 0
        self.advance(self.now_ns)
        for what, read, since_ns, duration_ns in self._host_jobs:
            start_ns = max(self._host_free_ns, since_ns, 0 if read is None else self._arrival(read))
            self._host_free_ns = start_ns + duration_ns
            self.host_busy_ns += duration_ns
            if self.log is not None:
                self.log.append(Interval("host", start_ns, self._host_free_ns, what))
        self._host_jobs.clear()
        return self._wait_until(self._host_free_ns)

    def advance(self, until_ns: int) -> None:
        """Play the movers up to `until_ns`."""
        for mover in self.movers:
            if not mover.idle and mover.clock_ns < until_ns:
                mover.advance(until_ns)

    def _arrival(self, transfer: Transfer) -> int:
        """When `transfer` arrives; the caller waits for it, so nothing else is queued until then."""
        while not transfer.done:
            soonest = None
            for mover in self.movers:
                end = None if mover.idle else mover.next_event_ns()
                if end is not None and (soonest is None or end < soonest):
                    soonest = end
            assert soonest is not None, "a cancelled transfer never arrives"
            self.advance(soonest)
        return transfer.done_ns

    def _wait_until(self, at_ns: int) -> int:
        stall = at_ns - self.now_ns
        if stall <= 0:
            return 0
        self.now_ns += stall
        self.stall_ns += stall
        return stall
