"""Weights of bfloat16 in 12 bits, as tiles for the matrix units, and those of them that have no code."""

from __future__ import annotations

import triton
import triton.language as tl

from hobbit_devices.kernels.maths import loaded


@triton.jit
def strays_at(strays: tl.tensor, at: tl.tensor, stop: tl.tensor) -> tl.tensor:
    """The strays `at` of a matrix, and 0, which none of them is, from `stop` on."""
    return tl.load(strays + at, mask=at < stop, other=0)


@triton.jit
def apart(stray: tl.tensor) -> tl.tuple:
    """Column and weight, in float32, of a stray."""
    return (stray >> 16) & 0xFFFF, (stray << 16).to(tl.float32, bitcast=True)


@triton.jit
def tile(
    data: tl.tensor,  # uint8 [N, BLOCK_K]
    codes: tl.tensor,
    rows: tl.tensor,
    k: tl.tensor,
    COLUMNS: tl.constexpr,
    BLOCK_K: tl.constexpr,
    DTYPE: tl.constexpr,
) -> tl.tensor:
    """Weights [N, BLOCK_K] of 12 bits, but for the power of two of their row."""
    at = k // 8 + tl.arange(0, BLOCK_K // 8)
    here = codes + (rows[:, None] * (COLUMNS // 8) + at[None, :])
    words = loaded(here, (at < COLUMNS // 8)[None, :], COLUMNS % BLOCK_K != 0)
    column = tl.arange(0, 8)
    code = words[:, :, None] >> ((column % 4) * 8 + column // 4 * 4)[None, None, :]
    tops = tl.reshape((code & 8) << 28 | (code & 7) << 24, data.shape)
    return ((tops | data.to(tl.uint32) << 16).to(tl.float32, bitcast=True) * 2.0**112).to(DTYPE)


@triton.jit
def stray_products(
    total: tl.tensor,  # [N, M]
    base: tl.tensor,
    states: tl.tensor,  # [M]
    strays: tl.tensor,
    starts: tl.tensor,
    rows: tl.tensor,  # [N]
    COLUMNS: tl.constexpr,
) -> tl.tensor:
    """`total` and the products of the weights that have no code, `states` being rows of COLUMNS at `base`."""
    start, stop = tl.load(starts + rows), tl.load(starts + rows + 1)
    most = tl.max(stop - start, 0)
    i = 0
    while i < most:
        found = strays_at(strays, start + i, stop)
        column, weight = apart(found)
        here = base + (states[None, :] * COLUMNS + column[:, None])
        value = tl.load(here, mask=(found != 0)[:, None], other=0)
        total += weight[:, None] * value.to(tl.float32)
        i += 1
    return total
