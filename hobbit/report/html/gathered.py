"""Gathered: what a folder of results holds."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from hobbit.errors import ConfigError
from hobbit.report.bounds import with_bounds
from hobbit.report.cell import Cell, read_cells
from hobbit.report.pictures.picture import SOFTWARE
from hobbit.report.sweep import SweepPoint, read_points


@dataclass(frozen=True, slots=True)
class Drawn:
    """A picture that a task wrote: its bytes, and what it says of itself."""

    name: str
    title: str
    png: bytes


@dataclass(frozen=True, slots=True)
class Gathered:
    """`comparisons` are cells by what they compare, `sweeps` points by file, `drawn` the other pictures."""

    comparisons: tuple[tuple[Cell, ...], ...]
    sweeps: Mapping[str, tuple[SweepPoint, ...]]
    drawn: tuple[Drawn, ...]


def gather(folder: Path) -> Gathered:
    """What is in the folder; its files in order of their names.

    Raises:
        ConfigError: if it cannot be read, or there is nothing in it.
    """
    try:
        return _gather(sorted(folder.iterdir()), folder)
    except OSError as error:
        raise ConfigError(f"task.results={str(folder)!r} cannot be read: {error.strerror}") from None


def _gather(found: list[Path], folder: Path) -> Gathered:
    comparisons: dict[str, list[Cell]] = {}
    sweeps: dict[str, tuple[SweepPoint, ...]] = {}
    for path in found:
        if path.suffix == ".jsonl":
            for cell in with_bounds(read_cells(path)):
                comparisons.setdefault(cell.comparison, []).append(cell)
            points = tuple(read_points(path))
            if points:
                sweeps[path.stem] = points
    drawn = tuple(_drawn([path for path in found if path.suffix == ".png" and path.stem not in sweeps]))
    if not (comparisons or sweeps or drawn):
        raise ConfigError(
            f"task.results={str(folder)!r} holds no results; make some with task=compare out={folder}"
        )
    return Gathered(tuple(map(tuple, comparisons.values())), sweeps, drawn)


def _drawn(paths: list[Path]) -> Iterator[Drawn]:
    """Those that hobbit drew, but for a comparison's, which are drawn anew."""
    for path in paths:
        content = path.read_bytes()
        texts = png_texts(content)
        if texts.get("Software") == SOFTWARE and not path.name.startswith(("speed-up-", "pareto-")):
            yield Drawn(path.stem, texts.get("Title", path.stem), content)


def png_texts(png: bytes) -> dict[str, str]:
    """The texts that a PNG file says of itself (tEXt and iTXt chunks, PNG specification, section 11.3.3)."""
    texts, place = {}, 8
    while place + 8 <= len(png):
        length, kind = struct.unpack(">I4s", png[place : place + 8])
        content = png[place + 8 : place + 8 + length]
        key, _, value = content.partition(b"\0")
        if kind == b"tEXt":
            texts[key.decode("latin-1")] = value.decode("latin-1")
        elif kind == b"iTXt":  # two flags, a language and a translated key come before the text
            texts[key.decode("latin-1")] = value[2:].split(b"\0", 2)[2].decode("utf-8", "replace")
        place += 12 + length
    return texts
