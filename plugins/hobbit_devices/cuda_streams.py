"""The queues of an NVIDIA GPU, in torch's streams and events."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

import torch

from hobbit_devices.gpu_streams import Mark


class CudaStreams:
    """Meets `GpuStreams`: one stream for copies, since the link serves one at a time anyway.

    An upload is a kernel that reads the pinned memory itself, where the driver maps it: in the queue of the
    copy engine it would wait behind whole blobs. Marks are timing events.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._copies = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self._mapped: dict[tuple[int, torch.dtype], torch.Tensor] = {}
        self.maps = self._try_mapping()

    def copy(self, target: torch.Tensor, source: torch.Tensor) -> None:
        """See `GpuStreams`."""
        with torch.cuda.stream(self._copies):
            target.copy_(source, non_blocking=True)

    def copied(self) -> Mark:
        """See `GpuStreams`."""
        # Whoever joins it sleeps: the copy thread is not to take a core from the host's experts.
        return _record(self._copies, blocking=True)

    def hold(self, mark: Mark) -> None:
        """See `GpuStreams`."""
        self._copies.wait_event(mark)

    def computed(self) -> Mark:
        """See `GpuStreams`."""
        return _record(torch.cuda.current_stream(self._device), blocking=False)

    def follow(self, mark: Mark) -> None:
        """See `GpuStreams`."""
        torch.cuda.current_stream(self._device).wait_event(mark)

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

    def mapped(self, blob: torch.Tensor) -> torch.Tensor | None:
        """See `GpuStreams`."""
        if not self.maps or not blob.is_pinned():
            return None
        storage = blob.untyped_storage()
        whole = self._mapped.get((storage.data_ptr(), torch.uint8))
        return whole if whole is not None else self._map_whole(storage, torch.uint8)

    def passed(self, mark: Mark) -> bool:
        """See `GpuStreams`."""
        return bool(mark.query())

    def join(self, mark: Mark) -> None:
        """See `GpuStreams`."""
        mark.synchronize()

    def between_ns(self, first: Mark, second: Mark) -> int:
        """See `GpuStreams`. The driver's clock has steps of about half a microsecond."""
        milliseconds: float = first.elapsed_time(second)
        return max(0, round(milliseconds * 1e6))

    def finish(self) -> None:
        """See `GpuStreams`."""
        torch.cuda.current_stream(self._device).synchronize()

    def pinned(self, shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
        """See `GpuStreams`."""
        with torch.inference_mode(False):  # it is written to in and out of that mode
            return torch.empty(shape, dtype=dtype, pin_memory=True)

    def direct(self, blob: torch.Tensor) -> bool:
        """See `GpuStreams`."""
        return blob.is_pinned()

    def same_queue(self) -> AbstractContextManager[Any]:
        """See `GpuStreams`."""
        return torch.cuda.stream(torch.cuda.current_stream(self._device))

    def _map(self, source: torch.Tensor) -> torch.Tensor:
        """Pinned memory as the device sees it: a tensor of the device at the same address."""
        storage = source.untyped_storage()
        whole = self._mapped.get((storage.data_ptr(), source.dtype))
        if whole is None:
            whole = self._map_whole(storage, source.dtype)
        return whole.as_strided(source.size(), source.stride(), source.storage_offset())

    def _map_whole(self, storage: torch.UntypedStorage, dtype: torch.dtype) -> torch.Tensor:
        with torch.inference_mode(False):
            flat = torch.empty(0, dtype=dtype).set_(storage)
            whole = torch.as_tensor(_Mapped(flat), device=self._device)
        self._mapped[storage.data_ptr(), dtype] = whole
        return whole

    def _try_mapping(self) -> bool:
        """Whether kernels read pinned memory here; not so where the driver hides the host's addresses."""
        source = self.pinned((64,), torch.int32)
        target = torch.zeros(64, dtype=torch.int32, device=self._device)
        try:
            mapped = self._map(source)
            source.copy_(torch.arange(64))  # after the mapping: a copy would not show it
            torch.mul(mapped, 1, out=target)
            return torch.equal(target.cpu(), source)
        except (RuntimeError, TypeError, ValueError):
            return False


def _record(stream: Any, blocking: bool) -> Mark:
    event = torch.cuda.Event(enable_timing=True, blocking=blocking)  # type: ignore[no-untyped-call]
    event.record(stream)
    return event


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
