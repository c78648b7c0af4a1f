"""Batch-1 products with native weights.

Shapes: d hidden, F ffn, P pairs of a token and an expert. A program streams a block of rows of one expert and
keeps a float32 product per weight position, so that every load is independent of the one before; the rows are
summed once at the end. Index arrays are often slices: nothing is assumed of their alignment.
"""

from __future__ import annotations

import triton
import triton.language as tl

from hobbit_devices.kernels.maths import blob_part, gated, loaded, rows_of, streamed


@triton.jit(do_not_specialize_on_alignment=["slots", "tokens"])
def gate_up_native(
    x: tl.tensor,  # [T, d]
    slots: tl.tensor,  # int [P]
    tokens: tl.tensor,  # int [P]
    h: tl.tensor,  # [P, F]
    first: tl.tensor,  # int: the units before it are left out
    pool: tl.tensor,  # uint8 [S, STRIDE]
    STRIDE: tl.constexpr,
    DATA: tl.constexpr,
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
    columns = tl.arange(0, BLOCK_K)
    token = x + tl.load(tokens + pair).to(tl.int64) * D
    weights = blob_part(pool, slot, STRIDE, DATA, DTYPE)
    here = weights + (kept[:, None] * D + columns[None, :])
    gate = tl.zeros((BLOCK_N, BLOCK_K), tl.float32)
    up = tl.zeros((BLOCK_N, BLOCK_K), tl.float32)
    for k in tl.range(0, D, BLOCK_K, num_stages=STAGES):
        inside = k + columns < D
        g = streamed(here + k, inside[None, :], MASKED)
        u = streamed(here + F * D + k, inside[None, :], MASKED)
        v = loaded(token + k + columns, inside, MASKED).to(tl.float32)[None, :]
        gate += g.to(tl.float32) * v
        up += u.to(tl.float32) * v
    tl.store(h + pair * F + rows, gated(tl.sum(gate, 1), tl.sum(up, 1), ACTIVATION), mask=rows < F)


@triton.jit(do_not_specialize_on_alignment=["slots"])
def down_native(
    h: tl.tensor,  # [P, F]
    slots: tl.tensor,  # int [P]
    out: tl.tensor,  # [P, d]
    first: tl.tensor,  # int: the units before it are left out, if PART
    pool: tl.tensor,  # uint8 [S, STRIDE]
    STRIDE: tl.constexpr,
    DATA: tl.constexpr,
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
    columns = tl.arange(0, BLOCK_K)
    state = h + pair * F
    here = blob_part(pool, slot, STRIDE, DATA, DTYPE) + (kept[:, None] * F + columns[None, :])
    end = F
    if PART:
        state, here, end = state + first, here + first, F - first
    total = tl.zeros((BLOCK_N, BLOCK_K), tl.float32)
    for k in tl.range(0, F, BLOCK_K, num_stages=STAGES):
        if MASKED:  # not by `streamed`, which costs this loop eight registers more
            inside = k + columns < end
            w = tl.load(here + k, mask=inside[None, :], other=0, eviction_policy="evict_first")
            v = tl.load(state + k + columns, mask=inside, other=0)
        else:
            w = tl.load(here + k, eviction_policy="evict_first")
            v = tl.load(state + k + columns)
        total += w.to(tl.float32) * v.to(tl.float32)[None, :]
    tl.store(out + pair.to(tl.int64) * D + rows, tl.sum(total, 1), mask=rows < D)
