"""Batch-1 products with bfloat16 weights in 12 bits, exact ones.

Shapes: d hidden, F ffn, P pairs of a token and an expert. Data is read as words of eight columns, the codes
of these beside it as words of half the size. Of four codes the first bytes of four floats are made at once,
to which a byte of data each is joined: the float is the weight but for the power of two of its row, and
2 ** 112. It is small and never subnormal, and the activations carry a power that keeps products so.
Weights without a code come last: they are few.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl

from hobbit_devices.kernels.lossless12 import apart, strays_at
from hobbit_devices.kernels.maths import blob_part, gated, loaded, rows_of, streamed

_PERMUTES = tl.constexpr(not triton.knobs.runtime.interpret and torch.version.hip is None)
"""Whether there is PTX, whose `prmt` joins any bytes of two words; shifts do it in three times the steps."""

_AT_ONCE = tl.constexpr(8)
"""Strays of a row that are read at once: more than most rows have."""

_LIFT = tl.constexpr(2.0**64)
"""What activations are multiplied by: for those from 2 ** -64 to 2 ** 63 products are normal floats."""

_REST = tl.constexpr(2.0**48)
"""What then is left of 2 ** 112."""


@triton.jit
def _even(pair: tl.tensor) -> tl.tensor:
    """Float32, lifted, of the bfloat16 in the low half of a word."""
    return (pair << 16).to(tl.float32, bitcast=True) * _LIFT


@triton.jit
def _odd(pair: tl.tensor) -> tl.tensor:
    """The same of the high half."""
    return (pair & 0xFFFF0000).to(tl.float32, bitcast=True) * _LIFT


@triton.jit
def _columns_of(
    state: tl.tensor, k: tl.tensor, end: tl.tensor, BLOCK_K: tl.constexpr, MASKED: tl.constexpr
) -> tl.tuple:
    """Values of `state` from k on, 0 from `end` on if MASKED: float32 [W] of eight columns each, lifted."""
    at = k // 8 + tl.arange(0, BLOCK_K // 8)
    inside = at < end // 8
    pairs = state.to(tl.pointer_type(tl.uint32)) + at * 4
    p, q = loaded(pairs, inside, MASKED), loaded(pairs + 1, inside, MASKED)
    r, s = loaded(pairs + 2, inside, MASKED), loaded(pairs + 3, inside, MASKED)
    return _even(p), _odd(p), _even(q), _odd(q), _even(r), _odd(r), _even(s), _odd(s)


@triton.jit
def _joined(data: tl.tensor, tops: tl.tensor) -> tl.tuple:
    """Words of two bfloat16 each, of columns 0 and 1 and of 2 and 3, from the bytes of these in two words."""
    if _PERMUTES:
        return tl.inline_asm_elementwise(
            "prmt.b32 $0, $2, $3, 0x5140; prmt.b32 $1, $2, $3, 0x7362;",
            "=&r,=r,r,r",
            [data, tops],
            dtype=(tl.uint32, tl.uint32),
            is_pure=True,
            pack=1,
        )
    low = (data & 0xFF) | (tops & 0xFF) << 8 | (data & 0xFF00) << 8 | (tops & 0xFF00) << 16
    high = (data >> 16 & 0xFF) | (tops >> 8 & 0xFF00) | (data >> 8 & 0xFF0000) | (tops & 0xFF000000)
    return low, high


@triton.jit
def _product(
    sums: tl.tensor, data: tl.tensor, tops: tl.tensor, a: tl.tensor, b: tl.tensor, c: tl.tensor, d: tl.tensor
) -> tl.tensor:
    """`sums` and the products of four columns: `tops` has the first byte of each float, `data` the next."""
    low, high = _joined(data, tops)
    sums += (low << 16).to(tl.float32, bitcast=True) * a[None]
    sums += (low & 0xFFFF0000).to(tl.float32, bitcast=True) * b[None]
    sums += (high << 16).to(tl.float32, bitcast=True) * c[None]
    sums += (high & 0xFFFF0000).to(tl.float32, bitcast=True) * d[None]
    return sums


@triton.jit
def _block(
    sums: tl.tensor,  # [N, W]
    data: tl.tensor,
    codes: tl.tensor,
    rows: tl.tensor,  # [N]
    k: tl.tensor,
    end: tl.tensor,
    v: tl.tuple,  # of `_columns_of`
    COLUMNS: tl.constexpr,
    BLOCK_K: tl.constexpr,
    MASKED: tl.constexpr,
) -> tl.tensor:
    """`sums` and the products of the block of columns at k, of which those from `end` on are left out."""
    at = k // 8 + tl.arange(0, BLOCK_K // 8)
    here = rows[:, None] * (COLUMNS // 8) + at[None, :]
    inside = (at < end // 8)[None, :]
    words = streamed(data + here, inside, MASKED)
    # Two a thread, as of data, whose 16 bytes a load takes: four would make every other load skip 16.
    code = streamed(tl.max_contiguous(codes + here, [1, 2]), inside, MASKED)
    # The sign, four bits of nothing, and the exponent but for its last bit.
    tops = (code & 0x07070707) | ((code << 4) & 0x80808080)
    sums = _product(sums, words.to(tl.uint32), tops, v[0], v[1], v[2], v[3])
    tops = ((code >> 4) & 0x07070707) | (code & 0x80808080)
    return _product(sums, (words >> 32).to(tl.uint32), tops, v[4], v[5], v[6], v[7])


@triton.jit
def _strays(strays: tl.tensor, start: tl.tensor, stop: tl.tensor, i: tl.tensor) -> tl.tensor:
    """Those [N, _AT_ONCE] from the i-th of each row on."""
    at = (start + i)[:, None] + tl.arange(0, _AT_ONCE)[None, :]
    return strays_at(strays, at, stop[:, None])


@triton.jit
def _astray(state: tl.tensor, strays: tl.tensor, first: tl.tensor) -> tl.tensor:
    """Products [N] of the `strays` [N, _AT_ONCE], leaving out columns before `first`."""
    column, weight = apart(strays)
    value = tl.load(state + column, mask=(strays != 0) & (column >= first), other=0)
    return tl.sum(weight * value.to(tl.float32), 1)


@triton.jit
def _summed(sums: tl.tensor, scales: tl.tensor) -> tl.tensor:
    """Products [N] of the weights with codes."""
    return tl.sum(sums, 1) * _REST * scales.to(tl.float32)


@triton.jit(do_not_specialize_on_alignment=["slots", "tokens"])
def gate_up_lossless12(
    x: tl.tensor,  # [T, d]
    slots: tl.tensor,  # int [P]
    tokens: tl.tensor,  # int [P]
    h: tl.tensor,  # [P, F]
    first: tl.tensor,  # int: the units before it are left out
    pool: tl.tensor,  # uint8 [S, STRIDE]
    STRIDE: tl.constexpr,
    DATA: tl.constexpr,
    CODES: tl.constexpr,
    SCALE: tl.constexpr,
    STARTS: tl.constexpr,
    STRAYS: tl.constexpr,
    DTYPE: tl.constexpr,
    D: tl.constexpr,
    F: tl.constexpr,
    ACTIVATION: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_K: tl.constexpr,
    STAGES: tl.constexpr,
) -> None:
    """h[p] = act(gate x) * (up x) of the expert in slots[p] and the token tokens[p]."""
    MASKED: tl.constexpr = D % BLOCK_K != 0
    pair = tl.program_id(1)
    slot = tl.load(slots + pair)
    if slot < 0:
        return
    rows, kept = rows_of(first, F, BLOCK_N)
    token = x + tl.load(tokens + pair).to(tl.int64) * D
    data = blob_part(pool, slot, STRIDE, DATA, tl.uint64)
    codes = blob_part(pool, slot, STRIDE, CODES, tl.uint32)
    strays = blob_part(pool, slot, STRIDE, STRAYS, tl.int32)
    # All that belongs to a row is asked for here, its first strays too: it is there when the sums are.
    starts = blob_part(pool, slot, STRIDE, STARTS, tl.int32) + kept
    scales = blob_part(pool, slot, STRIDE, SCALE, DTYPE) + kept
    g_scale, u_scale = tl.load(scales), tl.load(scales + F)
    g_start, g_stop = tl.load(starts), tl.load(starts + 1)
    u_start, u_stop = tl.load(starts + F), tl.load(starts + F + 1)
    g_strays, u_strays = _strays(strays, g_start, g_stop, 0), _strays(strays, u_start, u_stop, 0)
    gate = tl.zeros((BLOCK_N, BLOCK_K // 8), tl.float32)
    up = tl.zeros((BLOCK_N, BLOCK_K // 8), tl.float32)
    for k in tl.range(0, D, BLOCK_K, num_stages=STAGES):
        v = _columns_of(token, k, D, BLOCK_K, MASKED)
        gate = _block(gate, data, codes, kept, k, D, v, D, BLOCK_K, MASKED)
        up = _block(up, data, codes, kept + F, k, D, v, D, BLOCK_K, MASKED)
    g = _summed(gate, g_scale) + _astray(token, g_strays, 0)
    u = _summed(up, u_scale) + _astray(token, u_strays, 0)
    most = tl.max(tl.maximum(g_stop - g_start, u_stop - u_start), 0)
    i = _AT_ONCE
    while i < most:
        g += _astray(token, _strays(strays, g_start, g_stop, i), 0)
        u += _astray(token, _strays(strays, u_start, u_stop, i), 0)
        i += _AT_ONCE
    tl.store(h + pair * F + rows, gated(g, u, ACTIVATION), mask=rows < F)


@triton.jit(do_not_specialize_on_alignment=["slots"])
def down_lossless12(
    h: tl.tensor,  # [P, F]
    slots: tl.tensor,  # int [P]
    out: tl.tensor,  # [P, d]
    first: tl.tensor,  # int: the units before it are left out, if PART
    pool: tl.tensor,  # uint8 [S, STRIDE]
    STRIDE: tl.constexpr,
    DATA: tl.constexpr,
    CODES: tl.constexpr,
    SCALE: tl.constexpr,
    STARTS: tl.constexpr,
    STRAYS: tl.constexpr,
    DTYPE: tl.constexpr,
    D: tl.constexpr,
    F: tl.constexpr,
    PART: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_K: tl.constexpr,
    STAGES: tl.constexpr,
) -> None:
    """out[p] = down h[p] of the expert in slots[p]."""
    MASKED: tl.constexpr = PART or F % BLOCK_K != 0
    pair = tl.program_id(1)
    slot = tl.load(slots + pair)
    if slot < 0:
        return
    rows, kept = rows_of(0, D, BLOCK_N)
    state = h + pair * F
    here = state
    data = blob_part(pool, slot, STRIDE, DATA, tl.uint64)
    codes = blob_part(pool, slot, STRIDE, CODES, tl.uint32)
    strays = blob_part(pool, slot, STRIDE, STRAYS, tl.int32)
    starts = blob_part(pool, slot, STRIDE, STARTS, tl.int32) + kept
    scale = tl.load(blob_part(pool, slot, STRIDE, SCALE, DTYPE) + kept)
    start, stop = tl.load(starts), tl.load(starts + 1)
    some = _strays(strays, start, stop, 0)
    end, before = F, 0
    if PART:
        here, end, before = state + first, F - first, first
        data, codes = data + tl.multiple_of(first // 8, 4), codes + tl.multiple_of(first // 8, 4)
    total = tl.zeros((BLOCK_N, BLOCK_K // 8), tl.float32)
    for k in tl.range(0, F, BLOCK_K, num_stages=STAGES):
        v = _columns_of(here, k, end, BLOCK_K, MASKED)
        total = _block(total, data, codes, kept, k, end, v, F, BLOCK_K, MASKED)
    y = _summed(total, scale) + _astray(state, some, before)
    most = tl.max(stop - start, 0)
    i = _AT_ONCE
    while i < most:
        y += _astray(state, _strays(strays, start, stop, i), before)
        i += _AT_ONCE
    tl.store(out + pair.to(tl.int64) * D + rows, y, mask=rows < D)
