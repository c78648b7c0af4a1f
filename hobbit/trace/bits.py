"""Floats as traces keep them: bfloat16 as its 16 bits, and byte planes, which deflate packs better."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from hobbit.errors import TraceError

Floats = npt.NDArray[np.float32]
Stored = npt.NDArray[Any]

STORAGE: dict[str, npt.DTypeLike] = {"bfloat16": np.uint16, "float16": np.float16, "float32": np.float32}
"""The numpy dtype that holds each logits dtype; numpy has no bfloat16, so its bits stand in."""


def to_stored(values: Floats, dtype: str) -> Stored:
    """`values` in the storage of `dtype`, which must hold them."""
    if dtype == "bfloat16":
        return (np.ascontiguousarray(values).view(np.uint32) >> 16).astype(np.uint16)
    with np.errstate(over="ignore"):
        return values.astype(STORAGE[dtype])


def holds(dtype: str, values: Floats) -> bool:
    """Whether `dtype` has every one of `values`, without rounding."""
    return np.array_equal(to_floats(to_stored(values, dtype), dtype), values, equal_nan=True)


def to_floats(stored: Stored, dtype: str) -> Floats:
    """The float32 values of `stored`, exactly."""
    if dtype == "bfloat16":
        return (stored.astype(np.uint32) << 16).view(np.float32)
    return stored.astype(np.float32)


def round_to_bfloat16(values: Floats) -> Floats:
    """The nearest bfloat16 of each finite value, ties to even, as float32."""
    bits = np.ascontiguousarray(values).view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) & 0xFFFF0000).astype(np.uint32).view(np.float32)


def to_planes(array: Stored) -> npt.NDArray[np.uint8]:
    """Bytes of `array` by significance: uint8 [itemsize, *shape], least significant byte first.

    Sign and exponent repeat and mantissas do not; apart, the former shrink to a third.
    """
    little = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
    planes = little.view(np.uint8).reshape(*array.shape, array.itemsize)
    return np.ascontiguousarray(np.moveaxis(planes, -1, 0))


def from_planes(planes: npt.NDArray[np.uint8], dtype: npt.DTypeLike) -> Stored:
    """The array that `to_planes` took apart.

    Raises:
        TraceError: if there are more or fewer planes than the dtype has bytes.
    """
    kind = np.dtype(dtype)
    if planes.dtype != np.uint8 or planes.ndim < 2 or len(planes) != kind.itemsize:
        raise TraceError(f"byte planes {planes.dtype} {planes.shape} do not make {kind}; record it again")
    together = np.ascontiguousarray(np.moveaxis(planes, 0, -1))
    array: Stored = together.view(kind.newbyteorder("<"))[..., 0]
    return array.astype(kind)
