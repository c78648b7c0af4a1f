"""The queues of a GPU, as the engine uses them: everything that is a call of the driver, and nothing else."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import torch

Mark = Any
"""A point in a queue, in the order of the work before it; it has passed once that work is done."""


class GpuStreams(Protocol):
    """A queue of copies beside the queue that computes; work in one queue runs in order.

    The compute queue is the calling thread's current one, so that a CUDA graph may be replayed between calls.
    A second one runs at its side, for work that leaves most of the device idle: `beside`.
    Nothing waits on the host but `join` and `finish`. Marks carry the time at which they passed; one that is
    referred to no more may stand for another point from then on.
    """

    def copy(self, target: torch.Tensor, source: torch.Tensor) -> None:
        """Queue a copy of bytes from host to device, uint8 [n]; `source` is one that `direct` accepts."""
        ...

    def copied(self) -> Mark:
        """A mark behind every copy queued so far."""
        ...

    def hold(self, mark: Mark) -> None:
        """Copies queued from now on start after `mark`, one of the compute queue."""
        ...

    def computed(self) -> Mark:
        """A mark behind everything queued for computation so far."""
        ...

    def idle(self) -> bool:
        """Whether everything queued for computation so far is done; does not wait."""
        ...

    def follow(self, mark: Mark) -> None:
        """What is queued for computation from now on starts after `mark`, one of another queue."""
        ...

    def beside(self) -> AbstractContextManager[Any]:
        """Inside it the second queue is the compute queue. Neither waits for the other but where told to
        `follow`; memory that both use is to outlive the work of both."""
        ...

    def upload(self, target: torch.Tensor, source: torch.Tensor) -> None:
        """Queue, in the compute queue, a few kilobytes from pinned memory; never behind copies of blobs."""
        ...

    def download(self, target: torch.Tensor, source: torch.Tensor) -> None:
        """Queue, in the compute queue, a copy from the device into pinned memory."""
        ...

    def passed(self, mark: Mark) -> bool:
        """Whether the mark has passed; does not wait."""
        ...

    def join(self, mark: Mark) -> None:
        """Let the calling thread wait for a mark; other threads run on."""
        ...

    def between_ns(self, first: Mark, second: Mark) -> int:
        """Nanoseconds between two marks that have passed."""
        ...

    def finish(self) -> None:
        """Let the calling thread wait for everything queued for computation so far."""
        ...

    def pinned(self, shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
        """New host memory whose pages are locked, to be kept: it stays mapped for uploads.

        Raises RuntimeError where the system allows no more.
        """
        ...

    def mapped(self, blob: torch.Tensor) -> torch.Tensor | None:
        """The whole piece of locked memory that `blob` is a part of, as kernels read it: uint8 [n], on the
        device, at the same address. None where they cannot."""
        ...

    def add(self, target: torch.Tensor, source: torch.Tensor) -> None:
        """Queue, in the compute queue, target += source, a few kilobytes of pinned memory."""
        ...

    @property
    def maps(self) -> bool:
        """Whether kernels read and write pinned memory themselves, and queues wait for what is written."""
        ...

    def count(self, counter: torch.Tensor) -> None:
        """Queue, in the compute queue, counter += 1, int32 [1] in pinned memory; only where `maps`."""
        ...

    def await_count(self, counter: torch.Tensor, number: int) -> None:
        """What is queued for computation from now on starts once `counter`, int32 [1] in pinned memory, has
        come to `number`; only where `maps`."""
        ...

    def direct(self, blob: torch.Tensor) -> bool:
        """Whether copies from this host memory run beside the calling thread, at the link's full speed."""
        ...

    def same_queue(self) -> AbstractContextManager[Any]:
        """For another thread: puts its computation into the calling thread's queue."""
        ...
