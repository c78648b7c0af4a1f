"""Device functions that several kernels share."""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def gated(gate: tl.tensor, up: tl.tensor, ACTIVATION: tl.constexpr) -> tl.tensor:
    """act(gate) * up, in float32."""
    if ACTIVATION == "silu":
        act = gate / (1.0 + tl.exp(-gate))
    elif ACTIVATION == "gelu":
        act = 0.5 * gate * (1.0 + tl.erf(gate * 0.7071067811865476))
    elif ACTIVATION == "gelu_tanh":
        inner = 0.7978845608028654 * (gate + 0.044715 * gate * gate * gate)
        act = gate / (1.0 + tl.exp(-2.0 * inner))  # (1 + tanh(u)) / 2 = 1 / (1 + exp(-2u))
    else:
        tl.static_assert(ACTIVATION == "relu")
        act = tl.maximum(gate, 0.0)
    return act * up


@triton.jit
def blob_part(
    pool: tl.tensor, slot: tl.tensor, STRIDE: tl.constexpr, OFFSET: tl.constexpr, DTYPE: tl.constexpr
) -> tl.tensor:
    """Pointer to a part of the blob in `slot`; 64-bit, since pools pass 2 GiB. Parts start at 64 bytes."""
    start = tl.multiple_of(slot.to(tl.int64) * STRIDE + OFFSET, 64)
    return (pool + start).to(tl.pointer_type(DTYPE))


@triton.jit
def rows_of(first: tl.tensor, ROWS: tl.constexpr, BLOCK_N: tl.constexpr) -> tl.tuple:
    """This program's rows from `first` on, and where to read them: those beyond the last are not stored."""
    rows = first + tl.program_id(0) * BLOCK_N + tl.arange(0, BLOCK_N)
    return rows, tl.minimum(rows, ROWS - 1)


@triton.jit
def loaded(here: tl.tensor, inside: tl.tensor, MASKED: tl.constexpr) -> tl.tensor:
    """What lies at `here`, and 0 where not `inside` if MASKED: without a mask it is faster."""
    if MASKED:
        return tl.load(here, mask=inside, other=0)
    return tl.load(here)


@triton.jit
def streamed(here: tl.tensor, inside: tl.tensor, MASKED: tl.constexpr) -> tl.tensor:
    """The same of weights that nobody will read again soon."""
    if MASKED:
        return tl.load(here, mask=inside, other=0, eviction_policy="evict_first")
    return tl.load(here, eviction_policy="evict_first")
