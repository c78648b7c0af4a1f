"""Transfers: the queue of copies, on-demand before prefetch, with masks and cancellation.

The queue is logical: what is issued, dropped or cancelled follows from the order of calls alone. When the
bytes really move is the device's affair; an issued copy counts as resident and is waited for.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping

from hobbit.api import Copy, Device, ExpertKey, Job
from hobbit.runtime.residency import Residency


class Transfers:
    """Issues copies to the device. `sizes[p]` are the bytes of a blob at level p; `window` bounds the
    prefetches issued per layer (0: no limit), the others wait in the queue until their layer has passed."""

    def __init__(
        self, device: Device, residency: Residency, sizes: tuple[int, ...], window: int, staged: bool
    ) -> None:
        self._device = device
        self._residency = residency
        self._sizes = sizes
        self._window = window
        self._staged = staged
        self._queue: deque[ExpertKey] = deque()
        self._unused: dict[ExpertKey, Copy] = {}  # prefetched, and not demanded so far
        self.evicted: list[ExpertKey] = []
        self.prefetched: list[Copy] = []
        self.dropped = 0
        self.first_uses: list[Copy] = []

    def warm(self, keys: Iterable[ExpertKey]) -> int:
        """Bring copies before the first pass, as far as there are empty slots; returns how many came."""
        copies = []
        for key in keys:
            admitted = self._residency.admit(key, None) if self._residency.has_room(key) else None
            if admitted is not None:
                copies.append(Copy(key, admitted[0], True, self._sizes[key.level]))
                self._device.load(copies[-1])
        self._device.wait(copies)
        return len(copies)

    @property
    def idle(self) -> bool:
        """True if no prefetch waits or is under way."""
        return not self._queue and all(copy.done for copy in self._unused.values())

    def begin_layer(self, layer: int) -> None:
        """Start a layer's books, and drop queued prefetches whose layer has come or passed."""
        self.evicted = []
        self.prefetched = []
        self.first_uses = []
        self.dropped = 0
        if self._queue:
            waiting = len(self._queue)
            self._queue = deque(fetch for fetch in self._queue if fetch.layer > layer)
            self.dropped = waiting - len(self._queue)

    def begin_pass(self, left: list[Copy]) -> None:
        """A new pass starts at layer 0: prefetches queued in the last one have passed.

        `left` are copies that the last pass queued and, because it broke off, never waited for: they are
        given up, lest their slots be taken for filled.
        """
        self._queue.clear()
        for copy in left:
            self._device.cancel(copy)
            self._residency.drop(copy.key)
        left.clear()

    def use_all(self, demanded: Mapping[ExpertKey, int]) -> tuple[list[Job], dict[ExpertKey, Copy]]:
        """These are held, and `demanded` for so many tokens: keep them from eviction, and take them out of
        staging if need be.

        Returns what is to be run, and the copies to wait for, of those that are used for the first time.
        """
        unused = self._unused
        jobs = self._unstage(demanded) if self._staged else self._residency.occupy(demanded)
        copies = {key: unused.pop(key) for key in demanded if key in unused}
        for copy in copies.values():
            self.first_uses.append(copy)
            if not copy.done:
                self._device.hurry(copy)
        return jobs, copies

    def _unstage(self, demanded: Mapping[ExpertKey, int]) -> list[Job]:
        """Let those enter the cache that are staged, as far as there are slots; returns what is to be run."""
        residency = self._residency
        # All of them are blocked before one that leaves staging may evict somebody.
        residency.block_all(demanded)
        for key in demanded:
            if residency.staged(key):
                self._note(residency.unstage(key))
        return [Job(key, residency.slot(key), tokens) for key, tokens in demanded.items() if tokens]

    def discard(self, key: ExpertKey) -> None:
        """Give a cached copy up (caches that keep nothing)."""
        self._residency.drop(key)
        self._note(key)

    def demand(self, key: ExpertKey) -> Copy | None:
        """Queue an on-demand copy; None if this very layer uses every slot: serve it in a later wave."""
        admitted = self._residency.admit(key, key.layer)
        if admitted is None:
            return None
        slot, evicted = admitted
        self._note(evicted)
        copy = Copy(key, slot, True, self._sizes[key.level])
        self._device.load(copy)
        return copy

    def prefetch(self, fetches: list[ExpertKey], keep: list[ExpertKey]) -> None:
        """Mask what is kept, queue what is to be fetched, and issue as much as the window allows."""
        queue = self._queue
        self._residency.block_all(keep)
        if not (fetches or queue):
            return
        for fetch in fetches:
            layer, expert, level = fetch
            if not self._residency.held_in(layer)[expert] >> level & 1 and fetch not in queue:
                queue.append(fetch)
        budget = self._window or len(queue)
        while queue and budget > 0:
            self._issue(queue.popleft())
            budget -= 1

    def _issue(self, key: ExpertKey) -> None:
        admitted = self._residency.stage(key) if self._staged else self._residency.admit(key, None)
        if admitted is None:
            self.dropped += 1
            return
        slot, evicted = admitted
        self._note(evicted)
        copy = Copy(key, slot, False, self._sizes[key.level])
        self._unused[key] = copy
        self._device.load(copy)
        self.prefetched.append(copy)

    def _note(self, evicted: ExpertKey | None) -> None:
        if evicted is None:
            return
        self.evicted.append(evicted)
        copy = self._unused.pop(evicted, None)
        if copy is not None:
            self._device.cancel(copy)
