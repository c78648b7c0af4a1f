"""Bounds: how each cell stands to LRU and to Belady on the same routing."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from hobbit.report.cell import Cell
from hobbit.report.measures import Measures

LRU = "lru"
BELADY = "belady"

_Place = tuple[object, ...]


def place_of(cell: Cell) -> _Place:
    """What cells have in common that differ by policy alone."""
    return cell.comparison, cell.device, cell.geometry, cell.prompt_tokens, cell.decode_tokens


def with_bounds(cells: Iterable[Cell]) -> list[Cell]:
    """The cells with `miss_penalty_vs_belady` and `gap_closed`, where LRU's and Belady's are among them."""
    cells = list(cells)
    known = {(place_of(cell), cell.policy): cell for cell in cells if cell.policy in (LRU, BELADY)}
    return [
        _bounded(cell, known.get((place_of(cell), LRU)), known.get((place_of(cell), BELADY)))
        for cell in cells
    ]


def _bounded(cell: Cell, lru: Cell | None, belady: Cell | None) -> Cell:
    own = cell.measures
    if own is None or belady is None or belady.measures is None:
        return cell
    least = belady.measures.miss_penalty
    penalty = own.miss_penalty / least if least else None
    if lru is None or lru.measures is None or not _comparable(cell, own, lru, belady):
        return replace(cell, miss_penalty_vs_belady=penalty)
    gap = lru.measures.loads - belady.measures.loads
    closed = (lru.measures.loads - own.loads) / gap if gap > 0 else None
    return replace(cell, miss_penalty_vs_belady=penalty, gap_closed=closed)


def _comparable(cell: Cell, own: Measures, lru: Cell, belady: Cell) -> bool:
    """Belady bounds what fetches every miss on demand, at one precision, with as many slots."""
    on_demand = own.prefetch_use is None and own.skipped == own.hosted == 0
    return on_demand and cell.lossless and cell.slots == lru.slots == belady.slots
