"""The queues of a GPU on three threads: as asynchronous as the real ones, on host memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from queue import SimpleQueue
from random import Random
from threading import Event, Thread
from time import perf_counter_ns, sleep
from typing import Any

import torch
from hobbit_devices.kernels import Kernels

PATIENCE = 20
"""Seconds after which a wait is a deadlock."""


class Moment:
    """A mark."""

    def __init__(self, queue: str) -> None:
        self.queue = queue
        self.event = Event()
        self.at_ns = 0

    def wait(self) -> None:
        assert self.event.wait(PATIENCE), f"a mark of the {self.queue} queue never passed"

    def set(self) -> None:
        self.at_ns = perf_counter_ns()
        self.event.set()


class Worker:
    """A queue that a thread works off in order."""

    def __init__(self, name: str, jitter: Random | None) -> None:
        self.name = name
        self._jitter = jitter
        self._work: SimpleQueue[Callable[[], object] | None] = SimpleQueue()
        self.error: BaseException | None = None
        self._queued = self._done = 0
        self._thread = Thread(target=self._serve, name=f"stand-in-{name}", daemon=True)
        self._thread.start()

    def put(self, work: Callable[[], object]) -> None:
        self._queued += 1
        self._work.put(work)

    def idle(self) -> bool:
        return self._done == self._queued

    def mark(self) -> Moment:
        moment = Moment(self.name)
        self.put(moment.set)
        return moment

    def close(self) -> None:
        self._work.put(None)
        self._thread.join(PATIENCE)
        if self.error is not None:
            raise self.error

    def _serve(self) -> None:
        with torch.no_grad():
            while (work := self._work.get()) is not None:
                if self._jitter is not None and self._jitter.random() < 0.5:
                    sleep(self._jitter.random() * 3e-4)
                try:
                    work()
                except BaseException as error:
                    self.error = self.error or error
                self._done += 1


class StandInStreams:
    """Meets `GpuStreams`. `inline`: the calling thread computes, as a CPU does, and waits where a GPU would.

    `moved` lists the address and bytes of every copy, in the order in which they ran. `pageable` blobs are
    not direct; `seed` draws the delays of the queues (None: there are none).
    """

    def __init__(self, inline: bool = False, pageable: bool = False, seed: int | None = None) -> None:
        self.inline = inline
        self.pageable = pageable
        self.moved: list[tuple[int, int]] = []
        self.copies = Worker("copy", None if seed is None else Random(seed))
        self.compute = Worker("compute", None if seed is None else Random(seed + 1))
        self.side = Worker("side", None if seed is None else Random(seed + 2))
        self._current = self.compute
        self._pinned: set[int] = set()

    def copy(self, target: torch.Tensor, source: torch.Tensor) -> None:
        assert self.direct(source)

        def move() -> None:
            target.copy_(source)
            self.moved.append((target.data_ptr(), target.numel()))

        self.copies.put(move)

    def copied(self) -> Moment:
        return self.copies.mark()

    def hold(self, mark: Moment) -> None:
        assert mark.queue == "compute"
        self.copies.put(mark.wait)

    def computed(self) -> Moment:
        if not self.inline:
            return self._current.mark()
        moment = Moment(self._current.name)
        moment.set()
        return moment

    def idle(self) -> bool:
        return self.inline or self._current.idle()

    def follow(self, mark: Moment) -> None:
        assert mark.queue != self._current.name
        self.put(mark.wait)

    @contextmanager
    def beside(self) -> Iterator[None]:
        self._current, outside = self.side, self._current
        try:
            yield
        finally:
            self._current = outside

    def upload(self, target: torch.Tensor, source: torch.Tensor) -> None:
        self.put(lambda: target.copy_(source))

    def download(self, target: torch.Tensor, source: torch.Tensor) -> None:
        self.put(lambda: target.copy_(source))

    def add(self, target: torch.Tensor, source: torch.Tensor) -> None:
        self.put(lambda: target.add_(source))

    maps = True

    def count(self, counter: torch.Tensor) -> None:
        self.put(lambda: counter.add_(1))

    def await_count(self, counter: torch.Tensor, number: int) -> None:
        def wait() -> None:
            until = perf_counter_ns() + PATIENCE * 10**9
            while int(counter) - number < 0:
                assert perf_counter_ns() < until, "a counter never came to its number"
                sleep(1e-5)

        self.put(wait)

    def mapped(self, blob: torch.Tensor) -> torch.Tensor | None:
        storage = blob.untyped_storage()
        return torch.empty(0, dtype=torch.uint8).set_(storage) if self.direct(blob) else None

    def passed(self, mark: Moment) -> bool:
        return mark.event.is_set()

    def join(self, mark: Moment) -> None:
        mark.wait()

    def between_ns(self, first: Moment, second: Moment) -> int:
        assert first.queue == second.queue
        return second.at_ns - first.at_ns

    def finish(self) -> None:
        self.computed().wait()

    def pinned(self, shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
        tensor = torch.empty(shape, dtype=dtype)
        self._pinned.add(tensor.untyped_storage().data_ptr())
        return tensor

    def direct(self, blob: torch.Tensor) -> bool:
        return not self.pageable or blob.untyped_storage().data_ptr() in self._pinned

    def same_queue(self) -> AbstractContextManager[Any]:
        return nullcontext()

    def close(self) -> None:
        self.copies.close()
        self.compute.close()
        self.side.close()

    def put(self, work: Callable[[], object]) -> None:
        if self.inline:
            work()
        else:
            self._current.put(work)


class QueuedKernels:
    """Meets `Kernels`: others' work, put into the compute queue that is current."""

    def __init__(self, streams: StandInStreams, kernels: Kernels) -> None:
        self._streams = streams
        self._kernels = kernels

    @property
    def cut(self) -> int:
        return self._kernels.cut

    def run(
        self, x: torch.Tensor, slots: torch.Tensor, tokens: torch.Tensor, out: torch.Tensor, first: int = 0
    ) -> None:
        self._streams.put(lambda: self._kernels.run(x, slots, tokens, out, first))

    def run_grouped(self, *tensors: torch.Tensor) -> None:
        self._streams.put(lambda: self._kernels.run_grouped(*tensors))

    def combine(self, *tensors: torch.Tensor) -> None:
        self._streams.put(lambda: self._kernels.combine(*tensors))
