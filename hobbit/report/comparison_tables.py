"""The tables of a comparison: on the terminal, as Markdown and as JSON, from the same rows."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.table import Table

from hobbit import __version__
from hobbit.report.cell import Cell
from hobbit.report.comparison import Board, Row, boards, by_lengths, failures, notes
from hobbit.report.tables import empty_table

FORMAT = "hobbit-comparison"
VERSION = 1
"""Keys may be added within a version (docs/compare.md lists them); a changed meaning raises it."""

LOSSY, SYNTHETIC = "~", "*"
LEGEND = (
    "All speeds are on a simulated clock. "
    f"{LOSSY} lossy: KL is measured live, in decode, against the device's high precision. "
    f"{SYNTHETIC} synthetic routing: no model made it, so that there is no quality. "
    "Miss penalty: misses a token, a low one weighed by its bytes. "
    "Gap: the share of the way from LRU's loads to Belady's that a policy goes which fetches on demand, "
    "at one precision, with as many slots."
)
_COLUMNS = (
    "policy", "decode\ntok/s", "speed-\nup", "prefill\ns", "GB per\ntoken", "stall\n%", "hits\n%",
    "miss\npenalty", "mean\nKL", "gap\n%",
)  # fmt: skip
_NONE = "-"


def print_comparison(cells: Sequence[Cell], console: Console) -> None:
    """A table for each device and geometry over all lengths, the legend, and what could not be measured."""
    for board in boards(cells):
        console.print(board_title(board), style="bold", highlight=False, markup=False, soft_wrap=True)
        console.print(_rich(board))
        console.print()
    console.print(LEGEND, highlight=False, markup=False)
    for line in failures(cells):
        console.print(f"not measured: {line}", style="yellow", highlight=False, markup=False, soft_wrap=True)


def comparison_markdown(cells: Sequence[Cell]) -> str:
    """The same as a page, followed by every pair of lengths by itself."""
    parts = ["# Comparison", f"hobbit {__version__}. {LEGEND}", "## All lengths together"]
    parts += [part for board in boards(cells) for part in _section(board)]
    for prompt, decode, found in by_lengths(cells):
        parts.append(f"## Prompts of {prompt} tokens, {decode} decoded")
        parts += [part for board in found for part in _section(board)]
    for title, lines in (("Not measured", failures(cells)), ("Notes", notes(cells))):
        if lines:
            parts += [f"## {title}", "\n".join(f"* {line}" for line in lines)]
    return "\n\n".join(parts) + "\n"


def comparison_json(cells: Sequence[Cell]) -> str:
    """The rows over all lengths, and every cell, as one JSON object."""
    values: dict[str, Any] = {
        "format": FORMAT,
        "version": VERSION,
        "hobbit": __version__,
        "boards": [asdict(board) for board in boards(cells)],
        "cells": [cell.to_json() for cell in cells],
    }
    return json.dumps(values, indent=2, ensure_ascii=False) + "\n"


def board_title(board: Board) -> str:
    """Device, geometry, clock, workload and routing."""
    clock = "simulated clock" if board.simulated else "live"
    routing = f"synthetic routing, {board.routing}" if board.synthetic else f"routing {board.routing}"
    return f"{board.device}, {board.geometry} ({clock}; workload {board.workload}; {routing})"


def _section(board: Board) -> list[str]:
    return [f"### {board_title(board)}", _markdown(board)]


def _rich(board: Board) -> Table:
    table = empty_table(_COLUMNS[0], *(f">{column}" for column in _COLUMNS[1:]))
    for row in board.rows:
        table.add_row(*_texts(row, _common(board)))
    return table


def board_texts(board: Board) -> tuple[list[str], list[list[str]]]:
    """The heads of the columns, and the rows; the first column is text, the others are figures."""
    heads = [column.replace("-\n", "-").replace("\n", " ") for column in _COLUMNS]
    return heads, [_texts(row, _common(board)) for row in board.rows]


def _markdown(board: Board) -> str:
    heads, texts = board_texts(board)
    rows = [heads, ["---", *["---:"] * (len(heads) - 1)], *texts]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _common(board: Board) -> str:
    """The high precision that rows have unless they say otherwise: the one of most rows."""
    names = [row.precisions[0] for row in board.rows]
    return max(names, key=names.count)


def _texts(row: Row, high: str) -> list[str]:
    marks = [LOSSY] * (not row.lossless) + [SYNTHETIC] * row.synthetic
    own = f" at {row.precisions[0]}" if row.precisions[0] != high else ""
    return [
        f"{row.policy}{own} {''.join(marks)}".rstrip(),
        f"{row.decode_tokens_per_s:.3g}",
        _NONE if row.speed_up is None else f"{row.speed_up:.2f}x",
        f"{row.prefill_s:.3g}",
        f"{row.bytes_per_token / 1e9:.3g}",
        f"{100 * row.stall_share:.1f}",
        f"{100 * row.hit_ratio:.1f}",
        f"{row.miss_penalty:.3g}",
        _NONE if row.mean_kl is None else f"{row.mean_kl:.4f}",
        _NONE if row.gap_closed is None else f"{100 * row.gap_closed:.0f}",
    ]
