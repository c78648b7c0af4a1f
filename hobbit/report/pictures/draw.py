"""The pictures of a comparison, from its cells."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hobbit.report.cell import Cell
from hobbit.report.comparison import Board, boards, failures
from hobbit.report.pictures.captions import shortened
from hobbit.report.pictures.pareto import pareto
from hobbit.report.pictures.picture import Picture
from hobbit.report.pictures.speed_bars import speed_bars


def pictures_of(cells: Sequence[Cell]) -> list[Picture]:
    """Those of every device and geometry, in the order of the cells."""
    return [picture for board in boards(cells) for picture in board_pictures(board, cells)]


def board_pictures(board: Board, cells: Sequence[Cell]) -> list[Picture]:
    """Speed-up bars, and speed against quality where there is some; `cells` say what failed."""
    own = [cell for cell in cells if (cell.device, cell.geometry) == (board.device, board.geometry)]
    notes = [shortened(f"n/a: {failure}") for failure in failures(own)]
    pictures = (speed_bars(board, notes), pareto(board, notes))
    return [picture for picture in pictures if picture is not None]


def draw_all(cells: Sequence[Cell], folder: Path) -> list[Path]:
    """Write them as PNG into `folder`, which exists; the files, in order.

    Raises:
        ConfigError: if matplotlib is missing, or a file cannot be written.
    """
    return [picture.write(folder / f"{picture.name}.png") for picture in pictures_of(cells)]
