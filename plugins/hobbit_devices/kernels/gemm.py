"""Grouped products on the matrix units: many tokens, sorted by expert.

Shapes: d hidden, F ffn, n experts, P pairs of a token and an expert. The weights are the left operand, [rows,
columns] x [columns, tokens], so that quantised ones are decoded into registers and go from there into the
product: no decoded copy exists in memory, not even in shared memory where the compiler can avoid it.
Programs of the same block of rows of one expert run side by side and share its weights in L2.
"""

from __future__ import annotations

import triton
import triton.language as tl

from hobbit_devices.kernels.lossless12 import stray_products, tile
from hobbit_devices.kernels.maths import blob_part, gated, loaded

_INTERPRETED = tl.constexpr(triton.knobs.runtime.interpret)


@triton.jit
def _tile(
    offsets: tl.tensor, tile: tl.tensor, n: tl.tensor, EXPERTS: tl.constexpr, BLOCK_M: tl.constexpr
) -> tl.tensor:
    """Group, first and last + 1 sorted pair of this tile; the group is n or more where there is no work."""
    group = tl.arange(0, EXPERTS)
    inside = group < n
    start = tl.load(offsets + group, mask=inside, other=0).to(tl.int32)
    stop = tl.load(offsets + group + 1, mask=inside, other=0).to(tl.int32)
    tiles = (stop - start + BLOCK_M - 1) // BLOCK_M
    ends = tl.cumsum(tiles, 0)
    mine = tl.sum((ends <= tile).to(tl.int32), 0)
    here = group == mine
    before = tl.sum(tl.where(here, ends - tiles, 0), 0)
    first = tl.sum(tl.where(here, start, 0), 0) + (tile - before) * BLOCK_M
    return mine, first, tl.sum(tl.where(here, stop, 0), 0)


@triton.jit
def _states(
    base: tl.tensor, rows: tl.tensor, k: tl.tensor, COLUMNS: tl.constexpr, BLOCK_K: tl.constexpr
) -> tl.tensor:
    """Values [BLOCK_K, M] of the `rows` [M] of a matrix of COLUMNS, from column k on."""
    columns = k + tl.arange(0, BLOCK_K)
    here = base + (rows[None, :] * COLUMNS + columns[:, None])
    return loaded(here, (columns < COLUMNS)[:, None], COLUMNS % BLOCK_K != 0)


@triton.jit
def _stored(
    data: tl.tensor, rows: tl.tensor, k: tl.tensor, COLUMNS: tl.constexpr, BLOCK_K: tl.constexpr
) -> tl.tensor:
    """Items [N, BLOCK_K] as they are stored."""
    columns = k + tl.arange(0, BLOCK_K)
    here = data + (rows[:, None] * COLUMNS + columns[None, :])
    return loaded(here, (columns < COLUMNS)[None, :], COLUMNS % BLOCK_K != 0)


@triton.jit
def _plane(
    stored: tl.tensor,  # uint8 [N, BLOCK_K]
    scales: tl.tensor,
    shifts: tl.tensor,
    rows: tl.tensor,  # [N], of the matrix
    k: tl.tensor,
    PLANE: tl.constexpr,
    BITS: tl.constexpr,
    GROUP: tl.constexpr,
    COLUMNS: tl.constexpr,
    DTYPE: tl.constexpr,
) -> tl.tensor:
    """Weights [N, BLOCK_K] of one plane; a block of columns lies in one group."""
    MASK: tl.constexpr = (1 << BITS) - 1
    value = (stored >> (PLANE * BITS)) & MASK
    at = rows * (COLUMNS // GROUP) + k // GROUP
    scale = tl.load(scales + at)[:, None]
    shift = tl.load(shifts + at)[:, None]
    # The integer becomes the last bits of a float of known exponent: conversions are slow.
    if tl.bfloat16 == DTYPE:
        exact = (value.to(tl.uint16) | 0x4300).to(DTYPE, bitcast=True) - 128
    elif tl.float16 == DTYPE:
        exact = (value.to(tl.uint16) | 0x6400).to(DTYPE, bitcast=True) - 1024
    else:
        exact = value.to(DTYPE)
    return exact * scale - shift


@triton.jit
def _dot(a: tl.tensor, b: tl.tensor, total: tl.tensor, PRECISION: tl.constexpr) -> tl.tensor:
    """`total` and the product of `a` and `b`."""
    if _INTERPRETED:  # which takes bfloat16 for integers
        return tl.dot(a.to(tl.float32), b.to(tl.float32), total, input_precision="ieee")
    return tl.dot(a, b, total, input_precision=PRECISION)


@triton.jit
def _store(
    out: tl.tensor,
    pairs: tl.tensor,
    last: tl.tensor,
    rows: tl.tensor,
    value: tl.tensor,
    ROWS: tl.constexpr,
    END: tl.constexpr,
) -> None:
    """out[pair, row] = value[row, pair], out being [P, ROWS], for rows below END and pairs below `last`."""
    here = out + (pairs[None, :].to(tl.int64) * ROWS + rows[:, None])
    tl.store(here, value, mask=(pairs < last)[None, :] & (rows < END)[:, None])


@triton.jit(do_not_specialize=["n"], do_not_specialize_on_alignment=["slots", "offsets", "tokens"])
def gate_up_grouped(
    x: tl.tensor,  # [T, d]
    pool: tl.tensor,  # uint8 [S, STRIDE]
    slots: tl.tensor,  # int [n]
    offsets: tl.tensor,  # int [n + 1]
    tokens: tl.tensor,  # int [P]
    h: tl.tensor,  # [P, F]
    n: tl.tensor,
    STRIDE: tl.constexpr,
    DATA: tl.constexpr,
    SCALE: tl.constexpr,
    SHIFT: tl.constexpr,
    CODES: tl.constexpr,
    STARTS: tl.constexpr,
    STRAYS: tl.constexpr,
    WEIGHT: tl.constexpr,
    DTYPE: tl.constexpr,
    BITS: tl.constexpr,
    GROUP: tl.constexpr,
    D: tl.constexpr,
    F: tl.constexpr,
    ACTIVATION: tl.constexpr,
    PRECISION: tl.constexpr,
    EXPERTS: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_K: tl.constexpr,
) -> None:
    """h[i] = act(gate x) * (up x) for the sorted pairs i; BLOCK_N rows of gate, and of up, a program."""
    group, first, last = _tile(offsets, tl.program_id(0), n, EXPERTS, BLOCK_M)
    if group >= n:
        return
    slot = tl.load(slots + group)
    if slot < 0:
        return
    STORED: tl.constexpr = F // 2 if BITS == 2 else F
    pairs = first + tl.arange(0, BLOCK_M)
    token = tl.load(tokens + tl.minimum(pairs, last - 1)).to(tl.int64)
    rows = tl.program_id(1) * BLOCK_N + tl.arange(0, BLOCK_N)
    kept = tl.minimum(rows, STORED - 1)
    data = blob_part(pool, slot, STRIDE, DATA, WEIGHT)
    s = blob_part(pool, slot, STRIDE, SCALE, DTYPE)
    t = blob_part(pool, slot, STRIDE, SHIFT, DTYPE)
    codes = blob_part(pool, slot, STRIDE, CODES, tl.uint32)
    gate = tl.zeros((BLOCK_N, BLOCK_M), tl.float32)
    up = tl.zeros((BLOCK_N, BLOCK_M), tl.float32)
    gate2 = tl.zeros((BLOCK_N, BLOCK_M), tl.float32)
    up2 = tl.zeros((BLOCK_N, BLOCK_M), tl.float32)
    for k in range(0, D, BLOCK_K):
        v = _states(x, token, k, D, BLOCK_K)
        w = _stored(data, kept, k, D, BLOCK_K)
        if BITS == 4:
            g = _plane(w, s, t, kept, k, 0, BITS, GROUP, D, DTYPE)
            u = _plane(w, s, t, kept + F, k, 1, BITS, GROUP, D, DTYPE)
        elif BITS == 2:
            g = _plane(w, s, t, kept, k, 0, BITS, GROUP, D, DTYPE)
            u = _plane(w, s, t, kept + F, k, 2, BITS, GROUP, D, DTYPE)
            g2 = _plane(w, s, t, kept + F // 2, k, 1, BITS, GROUP, D, DTYPE)
            u2 = _plane(w, s, t, kept + F + F // 2, k, 3, BITS, GROUP, D, DTYPE)
            gate2 = _dot(g2, v, gate2, PRECISION)
            up2 = _dot(u2, v, up2, PRECISION)
        else:
            g, u = w, _stored(data, kept + F, k, D, BLOCK_K)
            if BITS == 12:
                g = tile(g, codes, kept, k, D, BLOCK_K, DTYPE)
                u = tile(u, codes, kept + F, k, D, BLOCK_K, DTYPE)
            g, u = g.to(DTYPE), u.to(DTYPE)
        gate = _dot(g, v, gate, PRECISION)
        up = _dot(u, v, up, PRECISION)
    if BITS == 8 or BITS == 12:
        gate *= tl.load(s + kept).to(tl.float32)[:, None]
        up *= tl.load(s + F + kept).to(tl.float32)[:, None]
    if BITS == 12:
        strays = blob_part(pool, slot, STRIDE, STRAYS, tl.int32)
        starts = blob_part(pool, slot, STRIDE, STARTS, tl.int32)
        gate = stray_products(gate, x, token, strays, starts, kept, D)
        up = stray_products(up, x, token, strays, starts, kept + F, D)
    _store(h, pairs, last, rows, gated(gate, up, ACTIVATION), F, STORED)
    if BITS == 2:
        _store(h + STORED, pairs, last, rows, gated(gate2, up2, ACTIVATION), F, STORED)


@triton.jit(do_not_specialize=["n"], do_not_specialize_on_alignment=["slots", "offsets"])
def down_grouped(
    h: tl.tensor,  # [P, F]
    pool: tl.tensor,  # uint8 [S, STRIDE]
    slots: tl.tensor,  # int [n]
    offsets: tl.tensor,  # int [n + 1]
    out: tl.tensor,  # [P, d]
    n: tl.tensor,
    STRIDE: tl.constexpr,
    DATA: tl.constexpr,
    SCALE: tl.constexpr,
    SHIFT: tl.constexpr,
    CODES: tl.constexpr,
    STARTS: tl.constexpr,
    STRAYS: tl.constexpr,
    WEIGHT: tl.constexpr,
    DTYPE: tl.constexpr,
    BITS: tl.constexpr,
    GROUP: tl.constexpr,
    D: tl.constexpr,
    F: tl.constexpr,
    PRECISION: tl.constexpr,
    EXPERTS: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_K: tl.constexpr,
) -> None:
    """out[i] = down h[i] for the sorted pairs i; BLOCK_N stored rows a program."""
    group, first, last = _tile(offsets, tl.program_id(0), n, EXPERTS, BLOCK_M)
    if group >= n:
        return
    slot = tl.load(slots + group)
    if slot < 0:
        return
    STORED: tl.constexpr = D * BITS // 8 if BITS == 2 or BITS == 4 else D
    pairs = first + tl.arange(0, BLOCK_M)
    state = tl.minimum(pairs, last - 1).to(tl.int64)
    rows = tl.program_id(1) * BLOCK_N + tl.arange(0, BLOCK_N)
    kept = tl.minimum(rows, STORED - 1)
    data = blob_part(pool, slot, STRIDE, DATA, WEIGHT)
    s = blob_part(pool, slot, STRIDE, SCALE, DTYPE)
    t = blob_part(pool, slot, STRIDE, SHIFT, DTYPE)
    codes = blob_part(pool, slot, STRIDE, CODES, tl.uint32)
    y0 = tl.zeros((BLOCK_N, BLOCK_M), tl.float32)
    y1 = tl.zeros((BLOCK_N, BLOCK_M), tl.float32)
    y2 = tl.zeros((BLOCK_N, BLOCK_M), tl.float32)
    y3 = tl.zeros((BLOCK_N, BLOCK_M), tl.float32)
    for k in range(0, F, BLOCK_K):
        v = _states(h, state, k, F, BLOCK_K)
        w = _stored(data, kept, k, F, BLOCK_K)
        if BITS == 12:
            w = tile(w, codes, kept, k, F, BLOCK_K, DTYPE)
        if BITS == 0 or BITS == 8 or BITS == 12:
            y0 = _dot(w.to(DTYPE), v, y0, PRECISION)
        else:
            w0 = _plane(w, s, t, kept, k, 0, BITS, GROUP, F, DTYPE)
            w1 = _plane(w, s, t, kept + STORED, k, 1, BITS, GROUP, F, DTYPE)
            y0 = _dot(w0, v, y0, PRECISION)
            y1 = _dot(w1, v, y1, PRECISION)
        if BITS == 2:
            w2 = _plane(w, s, t, kept + 2 * STORED, k, 2, BITS, GROUP, F, DTYPE)
            w3 = _plane(w, s, t, kept + 3 * STORED, k, 3, BITS, GROUP, F, DTYPE)
            y2 = _dot(w2, v, y2, PRECISION)
            y3 = _dot(w3, v, y3, PRECISION)
    if BITS == 8 or BITS == 12:
        y0 *= tl.load(s + kept).to(tl.float32)[:, None]
    if BITS == 12:
        strays = blob_part(pool, slot, STRIDE, STRAYS, tl.int32)
        starts = blob_part(pool, slot, STRIDE, STARTS, tl.int32)
        y0 = stray_products(y0, h, state, strays, starts, kept, F)
    _store(out, pairs, last, rows, y0, D, STORED)
    if BITS == 4 or BITS == 2:
        _store(out + STORED, pairs, last, rows, y1, D, STORED)
    if BITS == 2:
        _store(out + 2 * STORED, pairs, last, rows, y2, D, STORED)
        _store(out + 3 * STORED, pairs, last, rows, y3, D, STORED)
