"""Batch-1 products with int4 and int2 weights: a scale and a shift per group of columns.

Shapes: d hidden, F ffn, P pairs of a token and an expert. w = scale * data - shift, so a group's part of a
product is scale * sum(data * x) - shift * sum(x): weights are multiplied as the small integers they are, and
scaled once per chunk of 16 columns, the 16 bytes that a thread loads at once. Data is read as words:
four columns, each of them 2 (int4) or 4 (int2) rows deep.
"""

from __future__ import annotations

import triton
import triton.language as tl

from hobbit_devices.kernels.maths import blob_part, gated
from hobbit_devices.kernels.words import columns_of, product, words_of


@triton.jit
def _plane(
    sums: tl.tensor,  # [N, C]
    words: tl.tensor,  # [N, W]
    a: tl.tensor,  # [W]
    b: tl.tensor,
    c: tl.tensor,
    d: tl.tensor,
    total: tl.tensor,  # [C]
    scales: tl.tensor,
    shifts: tl.tensor,
    rows: tl.tensor,  # [N]
    k: tl.tensor,
    PLANE: tl.constexpr,
    BITS: tl.constexpr,
    COLUMNS: tl.constexpr,
    GROUP: tl.constexpr,
    BLOCK_K: tl.constexpr,
) -> tl.tensor:
    """`sums` and what the block adds to the products of the rows in PLANE, `rows` being their own numbers.

    All are multiples of 2 ** (PLANE * BITS - 69), the power that `field` and `_columns` leave.
    """
    part = product(tl.zeros(words.shape, tl.float32), words, a, b, c, d, PLANE, BITS)
    # Chunks first: so they are spread over the threads as the words are, and sums need not move.
    chunk = k + tl.arange(0, BLOCK_K // 16) * 16
    at = (chunk // GROUP)[:, None] + rows[None, :] * (COLUMNS // GROUP)
    if COLUMNS % BLOCK_K == 0:
        scale = tl.load(scales + at)
        shift = tl.load(shifts + at)
    else:
        inside = (chunk < COLUMNS)[:, None]
        scale = tl.load(scales + at, mask=inside, other=0)
        shift = tl.load(shifts + at, mask=inside, other=0)
    POWER: tl.constexpr = 2.0 ** (PLANE * BITS - 69)
    sums += tl.trans(scale.to(tl.float32)) * tl.sum(tl.reshape(part, (part.shape[0], BLOCK_K // 16, 4)), 2)
    return sums - tl.trans(shift.to(tl.float32)) * (total * POWER)[None, :]


@triton.jit
def _summed(sums: tl.tensor, PLANE: tl.constexpr, BITS: tl.constexpr) -> tl.tensor:
    """The products [N] of the rows in PLANE, their power of two taken off."""
    POWER: tl.constexpr = 2.0 ** (69 - PLANE * BITS)
    return tl.sum(sums, 1) * POWER


@triton.jit(do_not_specialize_on_alignment=["slots", "tokens"])
def gate_up_packed(
    x: tl.tensor,  # [T, d]
    pool: tl.tensor,  # uint8 [S, STRIDE]
    slots: tl.tensor,  # int [P]
    tokens: tl.tensor,  # int [P]
    h: tl.tensor,  # [P, F]
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
    CHUNKS: tl.constexpr = BLOCK_K // 16
    BYTE_ROWS: tl.constexpr = 2 * F * BITS // 8
    pair = tl.program_id(1)
    slot = tl.load(slots + pair)
    if slot < 0:
        return
    rows = tl.program_id(0) * BLOCK_N + tl.arange(0, BLOCK_N)
    kept = tl.minimum(rows, BYTE_ROWS - 1)
    token = x + tl.load(tokens + pair).to(tl.int64) * D
    data = blob_part(pool, slot, STRIDE, DATA, tl.uint32)
    s = blob_part(pool, slot, STRIDE, SCALE, DTYPE)
    t = blob_part(pool, slot, STRIDE, SHIFT, DTYPE)
    gate = tl.zeros((BLOCK_N, CHUNKS), tl.float32)
    up = tl.zeros((BLOCK_N, CHUNKS), tl.float32)
    gate2 = tl.zeros((BLOCK_N, CHUNKS), tl.float32)
    up2 = tl.zeros((BLOCK_N, CHUNKS), tl.float32)
    for k in tl.range(0, D, BLOCK_K, num_stages=STAGES):
        w = words_of(data, kept, k, D, BLOCK_K)
        a, b, c, d, total = columns_of(token, k, D, BLOCK_K)
        gate = _plane(gate, w, a, b, c, d, total, s, t, kept, k, 0, BITS, D, GROUP, BLOCK_K)
        if BITS == 4:
            up = _plane(up, w, a, b, c, d, total, s, t, kept + F, k, 1, BITS, D, GROUP, BLOCK_K)
        else:
            gate2 = _plane(gate2, w, a, b, c, d, total, s, t, kept + F // 2, k, 1, BITS, D, GROUP, BLOCK_K)
            up = _plane(up, w, a, b, c, d, total, s, t, kept + F, k, 2, BITS, D, GROUP, BLOCK_K)
            up2 = _plane(up2, w, a, b, c, d, total, s, t, kept + F + F // 2, k, 3, BITS, D, GROUP, BLOCK_K)
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
    pool: tl.tensor,  # uint8 [S, STRIDE]
    slots: tl.tensor,  # int [P]
    out: tl.tensor,  # [P, d]
    STRIDE: tl.constexpr,
    DATA: tl.constexpr,
    SCALE: tl.constexpr,
    SHIFT: tl.constexpr,
    DTYPE: tl.constexpr,
    BITS: tl.constexpr,
    GROUP: tl.constexpr,
    D: tl.constexpr,
    F: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_K: tl.constexpr,
    STAGES: tl.constexpr,
) -> None:
    """out[p] = down h[p]. A byte row holds rows D / planes apart."""
    CHUNKS: tl.constexpr = BLOCK_K // 16
    BYTE_ROWS: tl.constexpr = D * BITS // 8
    pair = tl.program_id(1)
    slot = tl.load(slots + pair)
    if slot < 0:
        return
    rows = tl.program_id(0) * BLOCK_N + tl.arange(0, BLOCK_N)
    kept = tl.minimum(rows, BYTE_ROWS - 1)
    state = h + pair * F
    data = blob_part(pool, slot, STRIDE, DATA, tl.uint32)
    s = blob_part(pool, slot, STRIDE, SCALE, DTYPE)
    t = blob_part(pool, slot, STRIDE, SHIFT, DTYPE)
    y0 = tl.zeros((BLOCK_N, CHUNKS), tl.float32)
    y1 = tl.zeros((BLOCK_N, CHUNKS), tl.float32)
    y2 = tl.zeros((BLOCK_N, CHUNKS), tl.float32)
    y3 = tl.zeros((BLOCK_N, CHUNKS), tl.float32)
    for k in tl.range(0, F, BLOCK_K, num_stages=STAGES):
        w = words_of(data, kept, k, F, BLOCK_K)
        a, b, c, d, total = columns_of(state, k, F, BLOCK_K)
        y0 = _plane(y0, w, a, b, c, d, total, s, t, kept, k, 0, BITS, F, GROUP, BLOCK_K)
        y1 = _plane(y1, w, a, b, c, d, total, s, t, kept + BYTE_ROWS, k, 1, BITS, F, GROUP, BLOCK_K)
        if BITS == 2:
            y2 = _plane(y2, w, a, b, c, d, total, s, t, kept + 2 * BYTE_ROWS, k, 2, BITS, F, GROUP, BLOCK_K)
            y3 = _plane(y3, w, a, b, c, d, total, s, t, kept + 3 * BYTE_ROWS, k, 3, BITS, F, GROUP, BLOCK_K)
    inside = rows < BYTE_ROWS
    here = out + pair.to(tl.int64) * D + rows
    tl.store(here, _summed(y0, 0, BITS), mask=inside)
    tl.store(here + BYTE_ROWS, _summed(y1, 1, BITS), mask=inside)
    if BITS == 2:
        tl.store(here + 2 * BYTE_ROWS, _summed(y2, 2, BITS), mask=inside)
        tl.store(here + 3 * BYTE_ROWS, _summed(y3, 3, BITS), mask=inside)
