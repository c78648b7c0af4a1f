"""Batch-1 products with int4 and int2 weights: a scale and a shift per group of columns.

Shapes: d hidden, F ffn, P pairs of a token and an expert. w = scale * data - shift, so a group's part of a
product is scale * sum(data * x) - shift * sum(x): weights are multiplied as the small integers they are, and
scaled once per chunk of 16 columns, the 16 bytes that a thread loads at once. Data is read as words:
four columns, each of them 2 (int4) or 4 (int2) rows deep.
"""

from __future__ import annotations

import triton
import triton.language as tl

from hobbit_devices.kernels.maths import blob_part, gated, loaded, rows_of
from hobbit_devices.kernels.words import columns_of, product, words_of


@triton.jit
def _plane(
    sums: tl.tensor,  # [N, C]
    words: tl.tensor,  # [N, W]
    columns: tl.tuple,  # of `columns_of`
    scales: tl.tensor,
    shifts: tl.tensor,
    rows: tl.tensor,  # [N]
    k: tl.tensor,
    end: tl.tensor,
    PLANE: tl.constexpr,
    BITS: tl.constexpr,
    COLUMNS: tl.constexpr,
    GROUP: tl.constexpr,
    BLOCK_K: tl.constexpr,
    MASKED: tl.constexpr,
) -> tl.tensor:
    """`sums` and what the block adds to the products of the rows in PLANE, `rows` being their own numbers.

    All are multiples of 2 ** (PLANE * BITS - 69), the power that `product` leaves.
    """
    part = product(tl.zeros(words.shape, tl.float32), words, columns, PLANE, BITS)
    # Chunks first: so they are spread over the threads as the words are, and sums need not move.
    chunk = k + tl.arange(0, BLOCK_K // 16) * 16
    at = (chunk // GROUP)[:, None] + rows[None, :] * (COLUMNS // GROUP)
    inside = (chunk < end)[:, None]
    scale = loaded(scales + at, inside, MASKED)
    shift = loaded(shifts + at, inside, MASKED)
    POWER: tl.constexpr = 2.0 ** (PLANE * BITS - 69)
    sums += tl.trans(scale.to(tl.float32)) * tl.sum(tl.reshape(part, (part.shape[0], BLOCK_K // 16, 4)), 2)
    return sums - tl.trans(shift.to(tl.float32)) * (columns[4] * POWER)[None, :]


@triton.jit
def _summed(sums: tl.tensor, PLANE: tl.constexpr, BITS: tl.constexpr) -> tl.tensor:
    """The products [N] of the rows in PLANE, their power of two taken off."""
    POWER: tl.constexpr = 2.0 ** (69 - PLANE * BITS)
    return tl.sum(sums, 1) * POWER


@triton.jit(do_not_specialize_on_alignment=["slots", "tokens"])
def gate_up_packed(
    x: tl.tensor,  # [T, d]
    slots: tl.tensor,  # int [P]
    tokens: tl.tensor,  # int [P]
    h: tl.tensor,  # [P, F]
    first: tl.tensor,  # int: the units before it are left out
    pool: tl.tensor,  # uint8 [S, STRIDE]
    STRIDE: tl.constexpr,
    DATA: tl.constexpr,
    SCALE: tl.constexpr,
    SHIFT: tl.constexpr,
    DTYPE: tl.constexpr,
    BITS: tl.constexpr,
    GROUP: tl.constexpr,
    D: tl.constexpr,
    F: tl.constexpr,
    ACTIVATION: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_K: tl.constexpr,
    STAGES: tl.constexpr,
) -> None:
    """h[p] = act(gate x) * (up x). A byte row of int4 is a gate and an up row; of int2, two of each."""
    MASKED: tl.constexpr = D % BLOCK_K != 0
    CHUNKS: tl.constexpr = BLOCK_K // 16
    BYTE_ROWS: tl.constexpr = 2 * F * BITS // 8
    pair = tl.program_id(1)
    slot = tl.load(slots + pair)
    if slot < 0:
        return
    rows, kept = rows_of(first, BYTE_ROWS, BLOCK_N)
    token = x + tl.load(tokens + pair).to(tl.int64) * D
    data = blob_part(pool, slot, STRIDE, DATA, tl.uint32)
    s = blob_part(pool, slot, STRIDE, SCALE, DTYPE)
    t = blob_part(pool, slot, STRIDE, SHIFT, DTYPE)
    gate = tl.zeros((BLOCK_N, CHUNKS), tl.float32)
    up = tl.zeros((BLOCK_N, CHUNKS), tl.float32)
    gate2 = tl.zeros((BLOCK_N, CHUNKS), tl.float32)
    up2 = tl.zeros((BLOCK_N, CHUNKS), tl.float32)
    for k in tl.range(0, D, BLOCK_K, num_stages=STAGES):
        w = words_of(data, kept, k, D, D, BLOCK_K, MASKED)
        v = columns_of(token, k, D, BLOCK_K, MASKED)
        gate = _plane(gate, w, v, s, t, kept, k, D, 0, BITS, D, GROUP, BLOCK_K, MASKED)
        if BITS == 4:
            up = _plane(up, w, v, s, t, kept + F, k, D, 1, BITS, D, GROUP, BLOCK_K, MASKED)
        else:
            gate2 = _plane(gate2, w, v, s, t, kept + F // 2, k, D, 1, BITS, D, GROUP, BLOCK_K, MASKED)
            up = _plane(up, w, v, s, t, kept + F, k, D, 2, BITS, D, GROUP, BLOCK_K, MASKED)
            up2 = _plane(up2, w, v, s, t, kept + F + F // 2, k, D, 3, BITS, D, GROUP, BLOCK_K, MASKED)
    inside = rows < BYTE_ROWS
    tl.store(
        h + pair * F + rows,
        gated(_summed(gate, 0, BITS), _summed(up, 4 // BITS, BITS), ACTIVATION),
        mask=inside,
    )
    if BITS == 2:
        value = gated(_summed(gate2, 1, BITS), _summed(up2, 3, BITS), ACTIVATION)
        tl.store(h + pair * F + F // 2 + rows, value, mask=inside)


@triton.jit(do_not_specialize_on_alignment=["slots"])
def down_packed(
    h: tl.tensor,  # [P, F]
    slots: tl.tensor,  # int [P]
    out: tl.tensor,  # [P, d]
    first: tl.tensor,  # int: the units before it are left out, if PART
    pool: tl.tensor,  # uint8 [S, STRIDE]
    STRIDE: tl.constexpr,
    DATA: tl.constexpr,
    SCALE: tl.constexpr,
    SHIFT: tl.constexpr,
    DTYPE: tl.constexpr,
    BITS: tl.constexpr,
    GROUP: tl.constexpr,
    D: tl.constexpr,
    F: tl.constexpr,
    PART: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_K: tl.constexpr,
    STAGES: tl.constexpr,
) -> None:
    """out[p] = down h[p]. A byte row holds rows D / planes apart."""
    MASKED: tl.constexpr = PART or F % BLOCK_K != 0
    CHUNKS: tl.constexpr = BLOCK_K // 16
    BYTE_ROWS: tl.constexpr = D * BITS // 8
    pair = tl.program_id(1)
    slot = tl.load(slots + pair)
    if slot < 0:
        return
    rows, kept = rows_of(0, BYTE_ROWS, BLOCK_N)
    state = h + pair * F
    data = blob_part(pool, slot, STRIDE, DATA, tl.uint32)
    s = blob_part(pool, slot, STRIDE, SCALE, DTYPE)
    t = blob_part(pool, slot, STRIDE, SHIFT, DTYPE)
    end = F
    if PART:
        state, data, end = state + first, data + tl.multiple_of(first // 4, 4), F - first
        s, t = s + first // GROUP, t + first // GROUP
    y0 = tl.zeros((BLOCK_N, CHUNKS), tl.float32)
    y1 = tl.zeros((BLOCK_N, CHUNKS), tl.float32)
    y2 = tl.zeros((BLOCK_N, CHUNKS), tl.float32)
    y3 = tl.zeros((BLOCK_N, CHUNKS), tl.float32)
    for k in tl.range(0, F, BLOCK_K, num_stages=STAGES):
        w = words_of(data, kept, k, end, F, BLOCK_K, MASKED)
        v = columns_of(state, k, end, BLOCK_K, MASKED)
        y0 = _plane(y0, w, v, s, t, kept, k, end, 0, BITS, F, GROUP, BLOCK_K, MASKED)
        y1 = _plane(y1, w, v, s, t, kept + BYTE_ROWS, k, end, 1, BITS, F, GROUP, BLOCK_K, MASKED)
        if BITS == 2:
            y2 = _plane(y2, w, v, s, t, kept + 2 * BYTE_ROWS, k, end, 2, BITS, F, GROUP, BLOCK_K, MASKED)
            y3 = _plane(y3, w, v, s, t, kept + 3 * BYTE_ROWS, k, end, 3, BITS, F, GROUP, BLOCK_K, MASKED)
    inside = rows < BYTE_ROWS
    here = out + pair.to(tl.int64) * D + rows
    tl.store(here, _summed(y0, 0, BITS), mask=inside)
    tl.store(here + BYTE_ROWS, _summed(y1, 1, BITS), mask=inside)
    if BITS == 2:
        tl.store(here + 2 * BYTE_ROWS, _summed(y2, 2, BITS), mask=inside)
        tl.store(here + 3 * BYTE_ROWS, _summed(y3, 3, BITS), mask=inside)
