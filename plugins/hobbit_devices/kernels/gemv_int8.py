"""Batch-1 products with int8 weights: one scale a row.

Shapes: d hidden, F ffn, P pairs of a token and an expert. Weights are read as words of four and made unsigned
(data + 128), so that `words` can take them apart; 128 times the sum of the activations is taken off at the
end.
"""

from __future__ import annotations

import triton
import triton.language as tl

from hobbit_devices.kernels.maths import blob_part, gated, rows_of
from hobbit_devices.kernels.words import columns_of, product, words_of

_SIGNS = tl.constexpr(0x80808080)
"""What makes the four numbers of a word unsigned, and 128 larger."""


@triton.jit
def _summed(sums: tl.tensor, total: tl.tensor, scales: tl.tensor) -> tl.tensor:
    """Products [N] from sums [N, W] over the unsigned weights; `total` [C] sums the activations."""
    return (tl.sum(sums, 1) * 2.0**69 - 128.0 * tl.sum(total, 0)) * scales.to(tl.float32)


@triton.jit(do_not_specialize_on_alignment=["slots", "tokens"])
def gate_up_int8(
    x: tl.tensor,  # [T, d]
    slots: tl.tensor,  # int [P]
    tokens: tl.tensor,  # int [P]
    h: tl.tensor,  # [P, F]
    first: tl.tensor,  # int: the units before it are left out
    pool: tl.tensor,  # uint8 [S, STRIDE]
    STRIDE: tl.constexpr,
    DATA: tl.constexpr,
    SCALE: tl.constexpr,
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
    data = blob_part(pool, slot, STRIDE, DATA, tl.uint32)
    gate = tl.zeros((BLOCK_N, BLOCK_K // 4), tl.float32)
    up = tl.zeros((BLOCK_N, BLOCK_K // 4), tl.float32)
    total = tl.zeros((BLOCK_K // 16,), tl.float32)
    for k in tl.range(0, D, BLOCK_K, num_stages=STAGES):
        g = words_of(data, kept, k, D, D, BLOCK_K, MASKED) ^ _SIGNS
        u = words_of(data, kept + F, k, D, D, BLOCK_K, MASKED) ^ _SIGNS
        v = columns_of(token, k, D, BLOCK_K, MASKED)
        gate = product(gate, g, v, 0, 8)
        up = product(up, u, v, 0, 8)
        total += v[4]
    scales = blob_part(pool, slot, STRIDE, SCALE, DTYPE) + kept
    value = gated(_summed(gate, total, tl.load(scales)), _summed(up, total, tl.load(scales + F)), ACTIVATION)
    tl.store(h + pair * F + rows, value, mask=rows < F)


@triton.jit(do_not_specialize_on_alignment=["slots"])
def down_int8(
    h: tl.tensor,  # [P, F]
    slots: tl.tensor,  # int [P]
    out: tl.tensor,  # [P, d]
    first: tl.tensor,  # int: the units before it are left out, if PART
    pool: tl.tensor,  # uint8 [S, STRIDE]
    STRIDE: tl.constexpr,
    DATA: tl.constexpr,
    SCALE: tl.constexpr,
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
    data = blob_part(pool, slot, STRIDE, DATA, tl.uint32)
    end = F
    if PART:
        state, data, end = state + first, data + tl.multiple_of(first // 4, 4), F - first
    y = tl.zeros((BLOCK_N, BLOCK_K // 4), tl.float32)
    total = tl.zeros((BLOCK_K // 16,), tl.float32)
    for k in tl.range(0, F, BLOCK_K, num_stages=STAGES):
        w = words_of(data, kept, k, end, F, BLOCK_K, MASKED) ^ _SIGNS
        v = columns_of(state, k, end, BLOCK_K, MASKED)
        y = product(y, w, v, 0, 8)
        total += v[4]
    value = _summed(y, total, tl.load(blob_part(pool, slot, STRIDE, SCALE, DTYPE) + kept))
    tl.store(out + pair.to(tl.int64) * D + rows, value, mask=rows < D)
