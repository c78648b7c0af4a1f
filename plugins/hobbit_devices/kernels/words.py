"""Quantised weights as words of four columns: how batch-1 products take them apart without conversions.

The masked bits of a word, read as a float, are a subnormal number: the integer in them times a power of two.
Subnormals multiply exactly and at full speed, so a weight costs a mask and a multiply-add. The activations
carry the inverse powers, and what is left is taken off once at the end.
"""

from __future__ import annotations

import triton
import triton.language as tl

from hobbit_devices.kernels.maths import loaded, streamed


@triton.jit
def field(word: tl.tensor, POSITION: tl.constexpr, BITS: tl.constexpr) -> tl.tensor:
    """Float32 u * 2 ** (POSITION - 149) for the unsigned integer u in the BITS bits at POSITION of `word`.

    POSITION + BITS must not pass the 23 bits of the mantissa.
    """
    tl.static_assert(POSITION + BITS <= 23)
    MASK: tl.constexpr = ((1 << BITS) - 1) << POSITION
    return (word & MASK).to(tl.float32, bitcast=True)


@triton.jit
def product(
    sums: tl.tensor,  # [N, W]
    words: tl.tensor,  # uint32 [N, W]
    columns: tl.tuple,  # of `columns_of`
    PLANE: tl.constexpr,
    BITS: tl.constexpr,
) -> tl.tensor:
    """`sums` and the products of a word's four columns: the integers in PLANE times `columns_of`.

    In units of 2 ** (PLANE * BITS - 69), the power that is left.
    """
    upper = words >> 15
    sums += field(words, PLANE * BITS, BITS) * columns[0][None]
    sums += field(words, PLANE * BITS + 8, BITS) * columns[1][None]
    sums += field(upper, PLANE * BITS + 1, BITS) * columns[2][None]
    sums += field(upper, PLANE * BITS + 9, BITS) * columns[3][None]
    return sums


@triton.jit
def columns_of(
    state: tl.tensor, k: tl.tensor, end: tl.tensor, BLOCK_K: tl.constexpr, MASKED: tl.constexpr
) -> tl.tuple:
    """Values of `state` from k on, 0 from `end` on if MASKED, as `product` takes them.

    Float32 [W] for each of the four columns of a word, and [C] sums of chunks of 16. The columns carry the
    powers of two that meet those of `field`: no product leaves the normal range while the values are between
    2 ** -50 and 2 ** 45.
    """
    at = tl.arange(0, BLOCK_K)
    values = loaded(state + k + at, k + at < end, MASKED)
    even, odd = tl.split(tl.reshape(values.to(tl.float32), (BLOCK_K // 4, 2, 2)))
    a, c = tl.split(even)
    b, d = tl.split(odd)
    total = tl.sum(tl.reshape(a + b + c + d, (BLOCK_K // 16, 4)), 1)
    return a * 2.0**80, b * 2.0**72, c * 2.0**79, d * 2.0**71, total


@triton.jit
def words_of(
    data: tl.tensor,
    rows: tl.tensor,
    k: tl.tensor,
    end: tl.tensor,
    COLUMNS: tl.constexpr,
    BLOCK_K: tl.constexpr,
    MASKED: tl.constexpr,
) -> tl.tensor:
    """uint32 [N, W]: the bytes of `rows` from column k on, 0 from `end` on if MASKED."""
    at = k // 4 + tl.arange(0, BLOCK_K // 4)
    here = data + (rows[:, None] * (COLUMNS // 4) + at[None, :])
    return streamed(here, (at < end // 4)[None, :], MASKED)
