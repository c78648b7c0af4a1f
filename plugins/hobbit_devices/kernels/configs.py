"""Block sizes by format and shape: a table and a rule, never a search while a model runs.

`python -m benchmarks.kernels` times the candidates around these; the table keeps what it found best.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import NamedTuple

from hobbit_devices.kernels.formats import LOSSLESS12_BITS, ExpertFormat


@dataclass(frozen=True, slots=True)
class Blocks:
    """`n` stored rows and `k` columns of weights, `m` tokens (grouped products only); warps and stages."""

    n: int
    k: int
    warps: int
    m: int = 1
    stages: int = 1


class Tile(NamedTuple):
    """Tokens and stored rows of a block of a grouped product, its warps and stages."""

    m: int
    n: int
    warps: int
    stages: int = 3


@dataclass(frozen=True, slots=True)
class Plan:
    """The blocks of the two launches of an expert FFN."""

    up: Blocks
    down: Blocks


SMALL = 99 * 1024
"""Bytes of shared memory that a block can have on every GPU from compute capability 8.0 on."""

_Tiles = tuple[tuple[float, Tile], ...]
"""Tiles of grouped products by tokens of the batch: (up to, tile)."""

_FEW: _Tiles = ((16, Tile(16, 64, 4)), (64, Tile(32, 64, 4)))
_WIDE: _Tiles = (*_FEW, (511, Tile(64, 64, 4)), (inf, Tile(128, 128, 8)))
_NARROW: _Tiles = (*_FEW, (512, Tile(64, 64, 4)), (inf, Tile(128, 64, 8)))
_PACKED: _Tiles = (*_FEW, (512, Tile(64, 64, 4)), (inf, Tile(64, 64, 4, stages=4)))
"""Weights of 4 and 2 bits are decoded in registers, of which larger tiles would want too many."""
_TWELVE: _Tiles = (*_FEW, (512, Tile(64, 64, 4)), (inf, Tile(128, 64, 4)))
"""Those of 12 bits are too, but the matrix units take their tiles as they are."""


def single_plan(format: ExpertFormat) -> Plan:
    """Batch-1 products: enough programs for every multiprocessor, enough bytes in flight in each."""
    bits = format.up.bits
    if bits == LOSSLESS12_BITS:
        return Plan(_twelve(format.hidden), _twelve(format.ffn))
    if bits:
        return Plan(
            Blocks(4, _columns(512, format.hidden), 1, stages=3),
            Blocks(4, _columns(512, format.ffn), 1, stages=3),
        )
    return Plan(
        Blocks(4, _columns(512, format.hidden), 4, stages=3),
        Blocks(8, _columns(512, format.ffn), 4, stages=3),
    )


def grouped_plan(format: ExpertFormat, tokens: int, shared: int = SMALL) -> Plan:
    """Grouped products over `tokens` of the whole batch, whatever part of it one call has.

    `shared` is the shared memory in bytes that the device can give a block. The choice must not depend on the
    pairs or experts of a call: a layer served in two calls would then differ in its bits from the same layer
    in one.
    """
    tile = next(tile for most, tile in _tiles(format, shared) if tokens <= most)
    up, down = (
        Blocks(tile.n, _block_k(matrix.group, format), tile.warps, tile.m, tile.stages)
        for matrix in (format.up, format.down)
    )
    return Plan(up, down)


def _tiles(format: ExpertFormat, shared: int) -> _Tiles:
    if format.up.bits == LOSSLESS12_BITS:
        return _TWELVE
    if format.up.bits in (2, 4):
        return _PACKED
    if format.up.bits or format.dtype == "float32":
        return _NARROW
    widest = _WIDE[-1][1]  # a stage holds a block of gate, one of up, and one of activations
    needed = widest.stages * _block_k(0, format) * (2 * widest.n + widest.m) * 2
    return _WIDE if needed <= shared else _NARROW


def _twelve(columns: int) -> Blocks:
    """Rows of 12 bits: short ones in one or two steps, which leave nothing to fetch ahead."""
    short = columns <= 2048
    return Blocks(4, _columns(1024 if short else 512, columns), 1, stages=1 if short else 3)


def _columns(most: int, columns: int) -> int:
    """The largest power of two up to `most` that is not more than needed for `columns`."""
    width = 16
    while width < min(most, columns):
        width *= 2
    return width


def _block_k(group: int, format: ExpertFormat) -> int:
    most = 32 if format.dtype == "float32" else 64
    return min(group or most, most)
