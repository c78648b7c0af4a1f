"""Calls of an NVIDIA GPU's driver that torch lacks, or puts dispatch and stream contexts around."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable
from typing import Any

LIBRARY = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"

_AT_LEAST = 0  # CU_STREAM_WAIT_VALUE_GEQ

_INVALID_CONTEXT = 201  # CUDA_ERROR_INVALID_CONTEXT


class CudaDriver:
    """The functions that are called for each expert or layer (CUDA Driver API, "Memory Management", "Stream
    Memory Operations").

    Python's lock is kept meanwhile: the call returns at once, and who gives the lock up may wait long for it.
    """

    def __init__(self, library: ctypes.PyDLL) -> None:
        """Raises AttributeError if the library is not the driver's."""
        self._copy: Callable[[int, int, int, int], int] = _function(
            library.cuMemcpyHtoDAsync_v2, ctypes.c_uint64, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p
        )
        self._wait: Callable[[int, int, int, int], int] = _function(
            library.cuStreamWaitValue32_v2, ctypes.c_void_p, ctypes.c_uint64, ctypes.c_uint32, ctypes.c_uint
        )
        self._name: Callable[[int, Any], int] = _function(
            library.cuGetErrorName, ctypes.c_int, ctypes.POINTER(ctypes.c_char_p)
        )

    @staticmethod
    def find(library: str = LIBRARY) -> CudaDriver | None:
        """The driver; None where there is none, or one that lacks what is needed."""
        try:
            return CudaDriver(ctypes.PyDLL(library))
        except (OSError, AttributeError):
            return None

    def copy(self, target: int, source: int, nbytes: int, stream: int) -> bool:
        """Queue a copy of bytes from locked host memory in `stream`; target and source are addresses.

        False: the calling thread has not used the GPU yet, which any call of torch's mends. Raises
        RuntimeError if the driver refuses for another reason.
        """
        code = self._copy(target, source, nbytes, stream)
        if code and code != _INVALID_CONTEXT:
            raise RuntimeError(f"copying {nbytes} bytes to the GPU failed: {self._error(code)}")
        return not code

    def wait(self, stream: int, address: int, number: int) -> None:
        """What is queued in `stream` from now on starts once the int32 at `address`, in locked host memory,
        has come to `number`, counting round. Raises RuntimeError if the driver refuses."""
        code = self._wait(stream, address, number, _AT_LEAST)
        if code:
            raise RuntimeError(f"waiting for a number in host memory failed: {self._error(code)}")

    def _error(self, code: int) -> str:
        name = ctypes.c_char_p()
        self._name(code, ctypes.byref(name))
        return f"CUDA error {code}" if name.value is None else name.value.decode()


def _function(function: Any, *arguments: Any) -> Any:
    function.argtypes, function.restype = arguments, ctypes.c_int
    return function
