"""The loader thread: one link, on-demand copies before prefetches (HOBBIT, section 3.2). No torch."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from threading import Condition, Thread

from hobbit.api import Copy
from hobbit.errors import DeviceError, HobbitError


@dataclass(slots=True, eq=False)
class Transfer:
    """A copy in the queue. Each step of `blocks` moves one block, and gives the bytes that remain.

    A step that raises leaves its error in `failure`, for whoever waits for the copy.
    """

    copy: Copy
    blocks: Generator[int, None, None]
    urgent: bool
    dropped: bool = False
    failure: HobbitError | None = None


class LoaderThread:
    """Moves copies block by block: urgent ones first, each class first come first served.

    The order is settled anew after every block, so an urgent copy overtakes a started prefetch there
    (MoE-APEX); a transfer of one block runs to its end (HOBBIT). A copy that fails fails alone: the thread
    goes on with the next one. Methods are for one calling thread; `clock` gives nanoseconds.
    """

    def __init__(self, clock: Callable[[], int]) -> None:
        self._clock = clock
        self._changed = Condition()
        self._urgent: deque[Transfer] = deque()
        self._prefetches: deque[Transfer] = deque()
        self._active: Transfer | None = None
        self._closing = False
        self.busy_ns = 0
        self._thread = Thread(target=self._serve, name="hobbit-loader", daemon=True)
        self._thread.start()

    def queue(self, transfer: Transfer) -> None:
        """Put a transfer behind those of its class; it becomes its copy's handle."""
        transfer.copy.handle = transfer
        with self._changed:
            self._class_of(transfer).append(transfer)
            self._changed.notify_all()

    def move_now(self, transfer: Transfer) -> None:
        """Move the whole transfer on the calling thread, once the block under way, if any, has arrived.

        Below some size, waking the thread and being woken by it costs more than the copy itself. A failure
        is raised by `wait`, as for any other copy.
        """
        transfer.copy.handle = transfer
        with self._changed:
            self._changed.wait_for(lambda: self._active is None)
            self._advance(transfer, whole=True)

    def hurry(self, transfer: Transfer) -> None:
        """Serve a prefetch as urgent from now on, behind the urgent ones already queued."""
        with self._changed:
            transfer.urgent = True
            if transfer in self._prefetches:
                self._prefetches.remove(transfer)
                self._urgent.append(transfer)

    def cancel(self, transfer: Transfer) -> None:
        """Move no further block of this transfer; the one under way still arrives."""
        with self._changed:
            transfer.dropped = True

    def wait(self, copies: Sequence[Copy]) -> int:
        """Block until all of `copies`, which were queued here, have arrived; the nanoseconds that took.

        Raises:
            HobbitError: what the source raised for one of them, or a DeviceError for any other failure.
        """
        if all(copy.done for copy in copies):
            return 0
        start = self._clock()
        with self._changed:
            self._changed.wait_for(lambda: self._closing or all(map(_settled, copies)))
        for copy in copies:
            if copy.handle.failure is not None:
                raise copy.handle.failure
        if not all(copy.done for copy in copies):
            raise DeviceError("the device was closed while copies were waited for; attach a new one")
        return self._clock() - start

    def close(self) -> None:
        """Stop after the block under way; safe to call again."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join()
        for transfer in (*self._urgent, *self._prefetches):
            transfer.blocks.close()

    def _class_of(self, transfer: Transfer) -> deque[Transfer]:
        return self._urgent if transfer.urgent else self._prefetches

    def _serve(self) -> None:
        while (transfer := self._next()) is not None:
            self._advance(transfer)
            with self._changed:
                self._active = None
                if not _settled(transfer.copy):
                    self._class_of(transfer).appendleft(transfer)
                self._changed.notify_all()

    def _next(self) -> Transfer | None:
        """The transfer whose turn it is; None when there will be no more."""
        with self._changed:
            while not self._closing:
                waiting = self._urgent or self._prefetches
                if not waiting:
                    self._changed.wait()
                elif (transfer := waiting.popleft()).dropped:
                    transfer.blocks.close()
                else:
                    self._active = transfer
                    return transfer
            return None

    def _advance(self, transfer: Transfer, whole: bool = False) -> None:
        """Move the next block, or all that are left; a failure is kept for whoever waits."""
        start = self._clock()
        try:
            remaining = next(transfer.blocks)
            while whole and remaining:
                remaining = next(transfer.blocks)
            if not remaining:
                transfer.blocks.close()
        except HobbitError as error:
            transfer.failure = error
        except Exception as error:
            transfer.failure = DeviceError(f"copying {transfer.copy.key} to its slot failed: {error}")
        else:
            transfer.copy.done = remaining == 0
        transfer.copy.ready_ns = self._clock()
        self.busy_ns += transfer.copy.ready_ns - start


def _settled(copy: Copy) -> bool:
    """True if nothing more will become of the copy: it has arrived, or failed."""
    return copy.done or copy.handle.failure is not None
