"""The pictures of a comparison, from its cells."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from hobbit.report.cell import Cell
from hobbit.report.pictures.captions import grouped
from hobbit.report.pictures.pareto import pareto
from hobbit.report.pictures.picture import Picture
from hobbit.report.pictures.speed_bars import speed_bars


def pictures_of(cells: Iterable[Cell]) -> list[Picture]:
    """Speed-up bars of every device, geometry and workload, and speed against quality where there is some."""
    pictures: list[Picture | None] = []
    for group, members in grouped(cells).items():
        pictures.append(speed_bars(f"speed-up-{group.stem}", members))
        pictures.append(pareto(f"pareto-{group.stem}", members))
    return [picture for picture in pictures if picture is not None]


def draw_all(cells: Iterable[Cell], folder: Path) -> list[Path]:
    """Write them as PNG into `folder`, which exists; the files, in order.

    Raises:
        ConfigError: if matplotlib is missing, or a file cannot be written.
    """
    return [picture.write(folder / f"{picture.name}.png") for picture in pictures_of(cells)]
