"""Block sizes by format and shape: a table and a rule, never a search while a model runs.

`python -m benchmarks.kernels` times the candidates around these; the table keeps what it found best.
"""

from __future__ import annotations

from dataclasses import dataclass

from hobbit_devices.kernels.formats import ExpertFormat


@dataclass(frozen=True, slots=True)
class Blocks:
    """`n` stored rows and `k` columns of weights, `m` tokens (grouped products only); warps and stages."""

    n: int
    k: int
    warps: int
    m: int = 1
    stages: int = 1


@dataclass(frozen=True, slots=True)
class Plan:
    """The blocks of the two launches of an expert FFN."""

    up: Blocks
    down: Blocks


def single_plan(format: ExpertFormat) -> Plan:
    """Batch-1 products: enough programs for every multiprocessor, enough bytes in flight in each."""
    bits = format.up.bits
    if bits in (2, 4):
        return Plan(
            Blocks(4, _columns(2048, format.hidden), 4),
            Blocks(4, _columns(2048, format.ffn), 4),
        )
    wide = 1024 if bits == 8 else 512
    return Plan(
        Blocks(4, _columns(wide, format.hidden), 4),
        Blocks(8, _columns(wide, format.ffn), 4),
    )


def grouped_plan(format: ExpertFormat, tokens: int, experts: int) -> Plan:
    """Grouped products over `tokens` of the whole batch, whatever part of it one call has.

    The choice must not depend on the pairs or experts of a call: a layer served in two calls would then
    differ in its bits from the same layer in one.
    """
    del experts
    m = 16 if tokens <= 16 else 32 if tokens <= 64 else 64 if tokens <= 512 else 128
    warps = 8 if m >= 128 else 4
    up, down = format.up, format.down
    return Plan(
        Blocks(64, _block_k(up.group, format), warps, m, 3),
        Blocks(64, _block_k(down.group, format), warps, m, 3),
    )


def _columns(most: int, columns: int) -> int:
    """The largest power of two up to `most` that is not more than needed for `columns`."""
    width = 16
    while width < min(most, columns):
        width *= 2
    return width


def _block_k(group: int, format: ExpertFormat) -> int:
    most = 32 if format.dtype == "float32" else 64
    return min(group or most, most)
