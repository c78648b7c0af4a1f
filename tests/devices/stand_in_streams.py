"""The queues of a GPU on two threads: as asynchronous as the real ones, on host memory."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from queue import SimpleQueue
from random import Random
from threading import Event, Thread
from time import perf_counter_ns, sleep
from typing import Any

import torch

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
        self._thread = Thread(target=self._serve, name=f"stand-in-{name}", daemon=True)
        self._thread.start()

    def put(self, work: Callable[[], object]) -> None:
        self._work.put(work)

    def mark(self) -> Moment:
        moment = Moment(self.name)
        self._work.put(moment.set)
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


class StandInStreams:
    """Meets `GpuStreams`. `inline`: the calling thread computes, as a CPU does, and waits where a GPU would.

    `moved` lists the address and bytes of every copy, in the order in which they ran. `pageable` blobs are
    not direct; `seed` draws the delays of both queues (None: there are none).
    """

    def __init__(self, inline: bool = False, pageable: bool = False, seed: int | None = None) -> None:
        self.inline = inline
        self.pageable = pageable
        self.moved: list[tuple[int, int]] = []
        self.copies = Worker("copy", None if seed is None else Random(seed))
        self.compute = Worker("compute", None if seed is None else Random(seed + 1))
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
            return self.compute.mark()
        moment = Moment("compute")
        moment.set()
        return moment

    def follow(self, mark: Moment) -> None:
        assert mark.queue == "copy"
        self._compute(mark.wait)

    def upload(self, target: torch.Tensor, source: torch.Tensor) -> None:
        self._compute(lambda: target.copy_(source))

    def download(self, target: torch.Tensor, source: torch.Tensor) -> None:
        self._compute(lambda: target.copy_(source))

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

    def _compute(self, work: Callable[[], object]) -> None:
        if self.inline:
            work()
        else:
            self.compute.put(work)


class QueuedKernels:
    """Kernels whose work is done in the compute queue, in plain torch."""

    def __init__(self, streams: StandInStreams, decode: Callable[[int], Any]) -> None:
        self._streams = streams
        self._decode = decode

    def run(self, x: torch.Tensor, slots: torch.Tensor, tokens: torch.Tensor, out: torch.Tensor) -> None:
        def work() -> None:
            for pair, (slot, token) in enumerate(zip(slots.tolist(), tokens.tolist(), strict=True)):
                out[pair] = self._expert(slot, x[token : token + 1])[0]

        self._streams._compute(work)

    def run_grouped(
        self,
        x: torch.Tensor,
        slots: torch.Tensor,
        offsets: torch.Tensor,
        tokens: torch.Tensor,
        out: torch.Tensor,
    ) -> None:
        def work() -> None:
            bounds = offsets.tolist()
            for slot, start, stop in zip(slots.tolist(), bounds[:-1], bounds[1:], strict=True):
                out[start:stop] = self._expert(slot, x[tokens[start:stop].long()])

        self._streams._compute(work)

    def _expert(self, slot: int, x: torch.Tensor) -> torch.Tensor:
        tensors = self._decode(slot)
        gate, up = torch.nn.functional.linear(x, tensors["gate_up_proj"]).chunk(2, dim=-1)
        return torch.nn.functional.linear(torch.nn.functional.silu(gate) * up, tensors["down_proj"])


def queued_combine(streams: StandInStreams) -> Callable[..., None]:
    """`Combine` in the compute queue."""

    def combine(
        out: torch.Tensor,
        weights: torch.Tensor,
        experts: torch.Tensor,
        rows: torch.Tensor,
        final: torch.Tensor,
    ) -> None:
        def work() -> None:
            total = torch.zeros(final.shape, dtype=torch.float32)
            for choice in experts.argsort(dim=1, stable=True).unbind(1):
                row = rows.gather(1, choice[:, None])
                weight = weights.float().gather(1, choice[:, None])
                total += torch.where(row < 0, 0, weight * out[row[:, 0].clamp(min=0).long()].float())
            final.copy_(total)

        streams._compute(work)

    return combine
