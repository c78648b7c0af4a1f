"""The order of copies: urgent ones at once, prefetches block by block behind them."""

from __future__ import annotations

from collections import deque
from threading import Condition, Thread
from typing import TYPE_CHECKING

from hobbit.api import ExpertSource
from hobbit.errors import DeviceError, HobbitError
from hobbit_devices.bounce import BounceRing
from hobbit_devices.gpu_streams import GpuStreams, Mark
from hobbit_devices.interval_log import IntervalLog
from hobbit_devices.lent_blobs import LentBlobs
from hobbit_devices.transfer import Transfer

if TYPE_CHECKING:
    import torch

WINDOW = 2
"""Blocks of prefetches in the queue at a time: one moves while the next waits, so the link never idles."""


OFTEN = 8
"""Copies after which those before are asked for, on a link that never rests."""

AHEAD = 4
"""Prefetches of no more than `WINDOW` blocks that the calling thread queues itself, at a time: the other
thread would take longer to wake than the link to copy one."""


class CopyQueue:
    """Puts transfers into the one queue of copies that a link serves in order.

    An urgent transfer goes in whole, from the calling thread. Prefetches go in from a thread of their own,
    block by block, `WINDOW` at a time: an urgent one overtakes them, and they may be cancelled, at the next
    block. A few small ones go in whole, as urgent ones do. Blobs that the source has yet to bring, or whose
    pages are not locked, go through the thread as well, urgent ones first. `block_bytes` 0: a started
    prefetch goes in whole (HOBBIT).
    """

    def __init__(
        self, streams: GpuStreams, source: ExpertSource, block_bytes: int, bounce: BounceRing
    ) -> None:
        self._streams = streams
        self._source = source
        self._block_bytes = block_bytes
        self._bounce = bounce
        self._changed = Condition()
        self._urgent: deque[Transfer] = deque()
        self._prefetches: deque[Transfer] = deque()
        self._active: Transfer | None = None
        self._lent = LentBlobs(source, streams)
        self._busy = IntervalLog(streams)
        self._last: Mark | None = None  # behind all copies in the queue
        self._ahead: deque[Mark] = deque()  # behind the small prefetches in the queue
        self._whole = 0  # transfers that have been queued to their last byte
        self._closing = False
        self.moved_bytes = 0
        self._thread = Thread(target=self._serve, name="hobbit-copies", daemon=True)
        self._thread.start()

    def queue(self, transfer: Transfer) -> None:
        """Take a transfer on: an urgent one is in the copy queue on return if its blob is at hand."""
        key = transfer.copy.key
        self._source.expect((key,))
        with self._changed:
            self._look()
            if not transfer.urgent:
                if self._goes_ahead(transfer):
                    self._ahead.append(self._put(transfer, transfer.left))
                    return
                self._prefetches.append(transfer)
            elif self._at_hand(transfer):
                self._put(transfer, transfer.left)
                return
            else:
                self._urgent.append(transfer)
            self._changed.notify_all()

    def hurry(self, transfer: Transfer) -> None:
        """Serve a prefetch as urgent: what is left of it goes in now, if its blob is at hand."""
        with self._changed:
            if transfer.urgent or transfer.dropped or transfer.failure or not transfer.left:
                return
            transfer.urgent = True
            if transfer is self._active:
                return  # the thread is bringing its blob, and will put the rest in whole
            self._prefetches.remove(transfer)
            self._look()
            if self._at_hand(transfer):
                self._put(transfer, transfer.left)
            else:
                self._urgent.append(transfer)
                self._changed.notify_all()

    def cancel(self, transfer: Transfer) -> None:
        """Queue no further block of it. What is in the queue still arrives, before any later copy."""
        with self._changed:
            if transfer.dropped or transfer.failure or not transfer.left:
                return
            transfer.dropped = True
            if transfer is not self._active:
                (self._urgent if transfer.urgent else self._prefetches).remove(transfer)
                self._give_back(transfer)

    def arrival(self, transfer: Transfer) -> Mark:
        """The mark behind a transfer's last byte. Waits only for blobs that were not at hand.

        Raises:
            HobbitError: what the source raised, or a DeviceError for any other failure of a copy.
        """
        if transfer.arrived is None:
            with self._changed:
                self._changed.wait_for(lambda: transfer.arrived or transfer.failure or self._closing)
        if transfer.failure is not None:
            raise transfer.failure
        if transfer.arrived is None:
            raise DeviceError("the device was closed while copies were waited for; attach a new one")
        return transfer.arrived

    def settle(self) -> int:
        """Close the books on what has passed; nanoseconds that the link was busy so far."""
        with self._changed:
            self._lent.settle()
            return self._busy.settle()

    def close(self) -> None:
        """Stop after the block under way and give all blobs back; safe to call again."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join()
        for transfer in (*self._urgent, *self._prefetches):
            self._give_back(transfer)
        self._urgent.clear()
        self._prefetches.clear()
        self._free_lent()

    def _look(self) -> None:
        """Ask how far the copies are: the driver once, most often."""
        if self._last is not None and self._streams.passed(self._last):
            self._last = None
            self._ahead.clear()
            self._lent.settle()
        elif len(self._ahead) >= AHEAD or self._whole % OFTEN == 0:
            while self._ahead and self._streams.passed(self._ahead[0]):
                self._ahead.popleft()
            self._lent.settle()

    def _goes_ahead(self, transfer: Transfer) -> bool:
        """Whether a prefetch is small, none waits before it, and few such are in the queue."""
        small = transfer.left <= WINDOW * self._block_bytes
        if not small or self._prefetches or self._active is not None:
            return False
        return len(self._ahead) < AHEAD and self._at_hand(transfer)

    def _at_hand(self, transfer: Transfer) -> bool:
        """Whether the blob can be copied from, by the calling thread, without waiting for anything."""
        if transfer.blob is None:
            if not self._source.at_hand(transfer.copy.key):
                return False
            transfer.blob = self._source.blob(transfer.copy.key)
        return self._streams.direct(transfer.blob)

    def _put(self, transfer: Transfer, nbytes: int) -> Mark:
        """Queue the next bytes of a transfer whose blob is here."""
        target, blob, start = transfer.target, transfer.blob, transfer.queued
        assert blob is not None
        before = self._before(None if start else transfer.reader)
        stop = start + nbytes
        left = target.numel() - stop
        copy = self._streams.copy if self._streams.direct(blob) else self._bounce.copy
        if start or left:
            copy(target[start:stop], blob[start:stop])
        else:
            copy(target, blob)  # a slice of all would cost as much as the call
        mark = self._last = self._streams.copied()
        self._busy.add(before, mark)
        self.moved_bytes += nbytes
        transfer.queued = stop
        if not left:
            self._whole += 1
            transfer.order = self._whole  # before the mark: who sees that may ask for the order
            transfer.arrived = mark
            self._lent.until(mark, transfer.copy.key)
            transfer.blob = None
        return mark

    def _before(self, reader: Mark | None) -> Mark:
        """A mark at which the next copy may start, behind a slot's last reader.

        While others are queued, as far as is known, and nothing else is waited for, that behind the last one.
        """
        if reader is not None:
            self._streams.hold(reader)
        elif self._last is not None:
            return self._last
        return self._streams.copied()

    def _free_lent(self) -> None:
        """Give back all blobs whose copies are queued: the source may have no memory for another."""
        with self._changed:
            lent = self._lent.take()
        for mark, key in lent:
            self._streams.join(mark)
            self._source.release(key)

    def _give_back(self, transfer: Transfer) -> None:
        """Return the blob of a transfer that goes no further, once what is queued of it has passed."""
        if transfer.blob is not None:
            self._lent.until(self._streams.copied(), transfer.copy.key)
            transfer.blob = None

    def _serve(self) -> None:
        """The thread: brings blobs, and keeps a window of prefetch blocks in the queue."""
        window: deque[Mark] = deque()
        try:
            while (transfer := self._next()) is not None:
                mark = self._bring(transfer)
                if mark is not None:
                    window.append(mark)
                while len(window) >= WINDOW:
                    self._streams.join(window.popleft())
        finally:  # whatever ended it: nobody is to wait for it
            with self._changed:
                self._closing = True
                self._changed.notify_all()

    def _bring(self, transfer: Transfer) -> Mark | None:
        """Bring the blob and queue the next bytes; None if that failed, or they are not wanted any more."""
        try:
            blob = transfer.blob
            if blob is None:
                if not self._source.at_hand(transfer.copy.key):
                    self._free_lent()
                blob = self._source.blob(transfer.copy.key)
            return self._advance(transfer, blob)
        except HobbitError as error:
            self._fail(transfer, error)
        except Exception as error:
            self._fail(transfer, DeviceError(f"copying {transfer.copy.key} to its slot failed: {error}"))
        return None

    def _next(self) -> Transfer | None:
        """The transfer whose turn it is; None when there will be no more."""
        with self._changed:
            self._changed.wait_for(lambda: self._closing or self._urgent or self._prefetches)
            if self._closing:
                return None
            self._active = (self._urgent or self._prefetches).popleft()
            return self._active

    def _advance(self, transfer: Transfer, blob: torch.Tensor) -> Mark | None:
        """Queue a block of a prefetch, or all that is left of an urgent transfer; None if it was dropped."""
        with self._changed:
            self._active = None
            transfer.blob = blob
            if transfer.dropped:
                self._give_back(transfer)
                return None
            self._look()
            mark = self._put(transfer, min(self._step(transfer, blob), transfer.left))
            if transfer.left:
                (self._urgent if transfer.urgent else self._prefetches).appendleft(transfer)
            else:
                self._changed.notify_all()
            return mark

    def _step(self, transfer: Transfer, blob: torch.Tensor) -> int:
        """Bytes to queue at a time."""
        if not self._streams.direct(blob):
            return self._bounce.nbytes  # they pass through the host's hands, which is not to take long
        whole = transfer.urgent or not self._block_bytes
        return transfer.left if whole else self._block_bytes

    def _fail(self, transfer: Transfer, error: HobbitError) -> None:
        """A copy that fails fails alone."""
        with self._changed:
            self._active = None
            transfer.failure = error
            self._give_back(transfer)
            self._changed.notify_all()
