"""The C function, as Python calls it."""

from __future__ import annotations

import ctypes
from pathlib import Path

from hobbit_devices.kernels.formats import ExpertFormat, PackedMatrix

DTYPES = ("bfloat16", "float16", "float32")
"""In the order of the C file's enum."""


class Parts(ctypes.Structure):
    """`parts` of the C file."""

    _fields_ = (
        ("rows", ctypes.c_int64),
        ("columns", ctypes.c_int64),
        ("data", ctypes.c_int64),
        ("scale", ctypes.c_int64),
        ("shift", ctypes.c_int64),
        ("codes", ctypes.c_int64),
        ("starts", ctypes.c_int64),
        ("strays", ctypes.c_int64),
        ("bits", ctypes.c_int32),
        ("group", ctypes.c_int32),
    )

    @staticmethod
    def of(matrix: PackedMatrix) -> Parts:
        """Of a matrix in a blob."""
        places = matrix.data, matrix.scale, matrix.shift, matrix.codes, matrix.starts, matrix.strays
        offsets = (max(place, 0) for place in places)
        return Parts(matrix.rows, matrix.columns, *offsets, matrix.bits, matrix.group)


class Expert(ctypes.Structure):
    """`expert` of the C file."""

    _fields_ = (("up", Parts), ("down", Parts), ("dtype", ctypes.c_int32))

    @staticmethod
    def of(format: ExpertFormat) -> Expert:
        """Of the blobs of a format."""
        return Expert(Parts.of(format.up), Parts.of(format.down), DTYPES.index(format.dtype))


class HostKernels:
    """The library made of the C files. It has no state: threads may call it at the same time.

    Raises OSError if the library cannot be loaded.
    """

    def __init__(self, path: Path) -> None:
        self.library = ctypes.CDLL(str(path))  # releases the GIL while it runs
        self._expert = self.library.hobbit_expert
        pointer, count = ctypes.c_void_p, ctypes.c_int64
        self._expert.argtypes = (
            *(pointer, ctypes.POINTER(Expert), pointer, count, pointer, pointer, pointer),
            *(count, count),
        )
        self._expert.restype = None

    def expert(
        self,
        team: int | None,
        expert: Expert,
        blob: int,
        tokens: int,
        x: int,
        scratch: int,
        y: int,
        units: tuple[int, int],
    ) -> None:
        """`hobbit_expert`: addresses of host memory, of the sizes that the C file wants."""
        self._expert(team, expert, blob, tokens, x, scratch, y, *units)
