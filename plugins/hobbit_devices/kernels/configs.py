"""Block sizes by format and shape: a table and a rule, never a search while a model runs.

`python -m benchmarks.kernels` times the candidates around these; the table keeps what it found best.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

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


_TOKENS = ((16, 16), (64, 32), (512, 64), (inf, 128))
"""Tokens of a block by tokens of the batch: (up to, block)."""


def single_plan(format: ExpertFormat) -> Plan:
    """Batch-1 products: enough programs for every multiprocessor, enough bytes in flight in each."""
    bits = format.up.bits
    if bits:
        return Plan(
            Blocks(4, _columns(512, format.hidden), 1, stages=3),
            Blocks(4, _columns(512, format.ffn), 1, stages=3),
        )
    return Plan(
        Blocks(4, _columns(512, format.hidden), 4, stages=3),
        Blocks(8, _columns(512, format.ffn), 4, stages=3),
    )


def grouped_plan(format: ExpertFormat, tokens: int) -> Plan:
    """Grouped products over `tokens` of the whole batch, whatever part of it one call has.

    The choice must not depend on the pairs or experts of a call: a layer served in two calls would then
    differ in its bits from the same layer in one.
    """
    m = next(m for most, m in _TOKENS if tokens <= most)
    warps = 8 if m >= 128 else 4
    up, down = format.up, format.down
    return Plan(
        Blocks(64, _block_k(up.group, format), warps, m, 3),
        Blocks(64, _block_k(down.group, format), warps, m, 3),
    )


def grouped_sizes(most: int) -> list[int]:
    """Token counts up to `most` that have plans of their own: one for each."""
    return sorted({min(most, int(bound)) for bound, _ in _TOKENS if bound != inf} | {most})


def _columns(most: int, columns: int) -> int:
    """The largest power of two up to `most` that is not more than needed for `columns`."""
    width = 16
    while width < min(most, columns):
        width *= 2
    return width


def _block_k(group: int, format: ExpertFormat) -> int:
    most = 32 if format.dtype == "float32" else 64
    return min(group or most, most)
