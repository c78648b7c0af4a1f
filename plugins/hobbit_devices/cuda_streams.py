"""The queues of an NVIDIA GPU, in torch's streams and events."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

import torch

from hobbit_devices.cuda_driver import CudaDriver
from hobbit_devices.cuda_marks import CudaMark, CudaMarks


class CudaStreams:
    """Meets `GpuStreams`: one stream for copies, since the link serves one at a time anyway.

    An upload is a kernel that reads the pinned memory itself, where the driver maps it: in the queue of the
    copy engine it would wait behind whole blobs. Blobs are copied by `driver`, without one by torch. What
    torch takes long to tell, which memory is locked and which stream is current, is remembered. The second
    compute stream has a default stream's priority, the lowest: what a step recorded runs before both.
    """

    def __init__(self, device: torch.device, driver: CudaDriver | None = None) -> None:
        self._device = device
        self._driver = driver
        self._copies = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self._copies_handle: int = self._copies.cuda_stream
        self._index = self._copies.device.index
        self._beside = torch.cuda.Stream(device, priority=0)  # type: ignore[no-untyped-call]
        self._known: dict[int, torch.cuda.Stream] = {}
        # Whoever joins one sleeps: the copy thread is not to take a core from the host's experts.
        self._copied = CudaMarks(blocking=True)
        self._computed = CudaMarks(blocking=False)
        self._locked: dict[int, bool] = {}
        self._mapped: dict[tuple[int, torch.dtype], torch.Tensor] = {}
        self.maps = self._try_mapping()

    def copy(self, target: torch.Tensor, source: torch.Tensor) -> None:
        """See `GpuStreams`."""
        if self._driver is None or not self._driver.copy(
            target.data_ptr(), source.data_ptr(), target.numel(), self._copies_handle
        ):
            with torch.cuda.stream(self._copies):
                target.copy_(source, non_blocking=True)

    def copied(self) -> CudaMark:
        """See `GpuStreams`."""
        return self._copied.behind(self._copies)

    def hold(self, mark: CudaMark) -> None:
        """See `GpuStreams`."""
        mark.event.wait(self._copies)

    def computed(self) -> CudaMark:
        """See `GpuStreams`."""
        return self._computed.behind(self._current())

    def idle(self) -> bool:
        """See `GpuStreams`."""
        return self._current().query()

    def follow(self, mark: CudaMark) -> None:
        """See `GpuStreams`."""
        mark.event.wait(self._current())

    def beside(self) -> AbstractContextManager[Any]:
        """See `GpuStreams`."""
        return _Within(self._beside, self._current())

    def upload(self, target: torch.Tensor, source: torch.Tensor) -> None:
        """See `GpuStreams`."""
        if self.maps:
            torch.mul(self._map(source), 1, out=target)
        else:
            target.copy_(source, non_blocking=True)

    def download(self, target: torch.Tensor, source: torch.Tensor) -> None:
        """See `GpuStreams`."""
        target.copy_(source, non_blocking=True)

    def add(self, target: torch.Tensor, source: torch.Tensor) -> None:
        """See `GpuStreams`."""
        target.add_(self._map(source) if self.maps else source.to(self._device, non_blocking=True))

    def count(self, counter: torch.Tensor) -> None:
        """See `GpuStreams`."""
        self._map(counter).add_(1)

    def await_count(self, counter: torch.Tensor, number: int) -> None:
        """See `GpuStreams`."""
        assert self._driver is not None
        self._driver.wait(self._current().cuda_stream, counter.data_ptr(), number)

    def mapped(self, blob: torch.Tensor) -> torch.Tensor | None:
        """See `GpuStreams`."""
        if not self.maps or not self.direct(blob):
            return None
        return self._whole(blob.untyped_storage(), torch.uint8)

    def passed(self, mark: CudaMark) -> bool:
        """See `GpuStreams`."""
        return bool(mark.event.query())

    def join(self, mark: CudaMark) -> None:
        """See `GpuStreams`."""
        mark.event.synchronize()

    def between_ns(self, first: CudaMark, second: CudaMark) -> int:
        """See `GpuStreams`. The driver's clock has steps of about half a microsecond."""
        milliseconds: float = first.event.elapsed_time(second.event)
        return max(0, round(milliseconds * 1e6))

    def finish(self) -> None:
        """See `GpuStreams`."""
        self._current().synchronize()

    def pinned(self, shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
        """See `GpuStreams`."""
        with torch.inference_mode(False):  # it is written to in and out of that mode
            return torch.empty(shape, dtype=dtype, pin_memory=True)

    def direct(self, blob: torch.Tensor) -> bool:
        """See `GpuStreams`."""
        memory = blob.untyped_storage().data_ptr()
        locked = self._locked.get(memory)
        if locked is None:
            locked = self._locked[memory] = blob.is_pinned()
        return locked

    def same_queue(self) -> AbstractContextManager[Any]:
        """See `GpuStreams`."""
        return torch.cuda.stream(self._current())

    def _current(self) -> torch.cuda.Stream:
        """The calling thread's current stream."""
        handle = torch._C._cuda_getCurrentRawStream(self._index)
        stream = self._known.get(handle)
        if stream is None:
            stream = self._known[handle] = torch.cuda.current_stream(self._device)
        return stream

    def _map(self, source: torch.Tensor) -> torch.Tensor:
        """Pinned memory as the device sees it: a tensor of the device at the same address."""
        whole = self._whole(source.untyped_storage(), source.dtype)
        if whole.shape == source.shape:
            return whole
        return whole.as_strided(source.size(), source.stride(), source.storage_offset())

    def _whole(self, storage: torch.UntypedStorage, dtype: torch.dtype) -> torch.Tensor:
        """All of a piece of pinned memory, mapped once for each dtype."""
        key = storage.data_ptr(), dtype
        whole = self._mapped.get(key)
        if whole is None:
            with torch.inference_mode(False):
                flat = torch.empty(0, dtype=dtype).set_(storage)
                whole = self._mapped[key] = torch.as_tensor(_Mapped(flat), device=self._device)
        return whole

    def _try_mapping(self) -> bool:
        """Whether kernels read pinned memory here, and queues wait for it; not so where the driver hides the
        host's addresses."""
        source = self.pinned((64,), torch.int32)
        target = torch.zeros(64, dtype=torch.int32, device=self._device)
        try:
            mapped = self._map(source)
            source.copy_(torch.arange(64))  # after the mapping: a copy would not show it
            torch.mul(mapped, 1, out=target)
            if self._driver is None or not torch.equal(target.cpu(), source):
                return False
            self.await_count(source[1:2], 1)
            self.finish()
            return True
        except (RuntimeError, TypeError, ValueError):
            return False


class _Within:
    """Makes a stream the calling thread's current one. torch's own context looks both up and asks for their
    devices, which takes longer than a launch."""

    __slots__ = ("_outside", "_stream")

    def __init__(self, stream: torch.cuda.Stream, outside: torch.cuda.Stream) -> None:
        self._stream = stream
        self._outside = outside

    def __enter__(self) -> None:
        torch.cuda.set_stream(self._stream)

    def __exit__(self, *error: object) -> None:
        torch.cuda.set_stream(self._outside)


_KINDS = {torch.int32: "<i4", torch.float32: "<f4", torch.uint8: "|u1"}


class _Mapped:
    """Offers pinned memory under numba's CUDA array interface, version 3, which torch takes tensors from."""

    def __init__(self, tensor: torch.Tensor) -> None:
        self._tensor = tensor  # keeps the memory alive
        self.__cuda_array_interface__ = {
            "shape": tuple(tensor.shape),
            "typestr": _KINDS[tensor.dtype],
            "data": (tensor.data_ptr(), False),
            "strides": None,
            "version": 3,
        }
