"""The weighted sum of a token's experts, in ascending order of experts."""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit(do_not_specialize_on_alignment=["weights", "experts", "rows"])
def weighted_sum(
    out: tl.tensor,  # [R, d]
    weights: tl.tensor,  # [T, K]
    experts: tl.tensor,  # int [T, K]
    rows: tl.tensor,  # int [T, K]
    final: tl.tensor,  # [T, d]
    D: tl.constexpr,
    K: tl.constexpr,
    CHOICES: tl.constexpr,
    BLOCK: tl.constexpr,
) -> None:
    """final[t] = sum over k of weights[t, k] * out[rows[t, k]], by ascending experts[t, k], in float32."""
    token = tl.program_id(0)
    columns = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    k = tl.arange(0, CHOICES)
    inside = k < K
    expert = tl.load(experts + token * K + k, mask=inside, other=2147483647).to(tl.int32)
    weight = tl.load(weights + token * K + k, mask=inside, other=0).to(tl.float32)
    row = tl.load(rows + token * K + k, mask=inside, other=-1).to(tl.int32)
    before = (expert[None, :] < expert[:, None]) | (
        (expert[None, :] == expert[:, None]) & (k[None, :] < k[:, None])
    )
    rank = tl.sum(before.to(tl.int32), 1)
    total = tl.zeros((BLOCK,), tl.float32)
    for place in range(K):
        here = rank == place
        w = tl.sum(tl.where(here, weight, 0.0), 0)
        r = tl.sum(tl.where(here, row, 0), 0)
        y = tl.load(out + r.to(tl.int64) * D + columns, mask=(columns < D) & (r >= 0), other=0)
        total += w * y.to(tl.float32)
    tl.store(final + token.to(tl.int64) * D + columns, total, mask=columns < D)
