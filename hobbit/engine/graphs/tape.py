"""Tape: records what is launched on a device, so that it can be launched again at once."""

from __future__ import annotations

import functools
import gc
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Any, Protocol

import torch

Replay = Callable[[], None]
"""Launches a recorded stretch again, on the current stream, with the same addresses."""

Wait = Callable[[], None]
"""Returns once the work before some point is done."""


class Tape(Protocol):
    """Records stretches of work: `begin`, some launches, `end`, all inside `recording`."""

    def recording(self) -> AbstractContextManager[None]:
        """The surroundings of one recording; whatever was begun and not ended is given up on an error."""
        ...

    def begin(self) -> None:
        """Record what is launched from now on, instead of running it."""
        ...

    def end(self) -> Replay:
        """Stop, and give what was recorded since `begin`."""
        ...

    def playing(self) -> AbstractContextManager[None]:
        """The surroundings of a step made of recordings and of work between them: all of it goes before what
        a device does beside. It comes behind what was launched before, and before what is launched later."""
        ...

    def host(self, tensor: torch.Tensor) -> torch.Tensor:
        """A host tensor like `tensor`, fit to be copied to without waiting."""
        ...

    def mark(self) -> Wait:
        """To wait until what was launched so far is done."""
        ...

    def waiting(self) -> Wait:
        """To wait, as often as it is called, until what was launched by then is done."""
        ...


@functools.cache
def _stream_of(device: torch.device) -> torch.cuda.Stream:
    """One stream a device for all recordings: cuBLAS keeps 32 MiB for every stream that it has ever seen.

    What it runs goes before what default streams run: an expert that is read over the link beside a step
    fills the device with blocks that wait, and the step's own would stand behind them.
    """
    return torch.cuda.Stream(device, priority=-1)  # type: ignore[no-untyped-call]


class CudaTape:
    """CUDA graphs; those of a recording share one memory pool, hence are to be replayed in their order."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._pool: Any = None
        self._stream = _stream_of(device)
        self._open: torch.cuda.CUDAGraph | None = None

    @contextmanager
    def recording(self) -> Iterator[None]:
        """See `Tape`. Recording needs a stream of its own, and nothing half-freed in the allocator."""
        torch.cuda.synchronize(self._device)
        gc.collect()
        torch.cuda.empty_cache()
        current = torch.cuda.current_stream(self._device)
        self._stream.wait_stream(current)
        self._pool = torch.cuda.graph_pool_handle()  # that of graphs which are gone is gone too
        with torch.cuda.stream(self._stream):
            try:
                yield
            finally:
                self._give_up()
        current.wait_stream(self._stream)

    def begin(self) -> None:
        """See `Tape`. Other threads may go on allocating and copying meanwhile."""
        graph = torch.cuda.CUDAGraph()
        graph.capture_begin(pool=self._pool, capture_error_mode="thread_local")
        self._open = graph

    def end(self) -> Replay:
        """See `Tape`."""
        assert self._open is not None
        graph, self._open = self._open, None
        graph.capture_end()
        replay: Replay = graph.replay
        return replay

    @contextmanager
    def playing(self) -> Iterator[None]:
        """See `Tape`: on the stream of the recordings, since what is launched between them would otherwise
        have a default stream's priority."""
        outside, stream = torch.cuda.current_stream(self._device), self._stream
        stream.wait_stream(outside)
        torch.cuda.set_stream(stream)
        try:
            yield
        finally:
            torch.cuda.set_stream(outside)
            outside.wait_stream(stream)

    def _give_up(self) -> None:
        """End a capture that an error has left open, on the stream it is on; it has failed already."""
        graph, self._open = self._open, None
        if graph is not None:
            with suppress(RuntimeError):
                graph.capture_end()

    def host(self, tensor: torch.Tensor) -> torch.Tensor:
        """See `Tape`: pinned."""
        return torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)

    def mark(self) -> Wait:
        """See `Tape`: an event behind the current stream's work."""
        wait: Wait = torch.cuda.current_stream(self._device).record_event().synchronize
        return wait

    def waiting(self) -> Wait:
        """See `Tape`: for the current stream, without an event each time."""
        return torch.cuda.current_stream(self._device).synchronize
