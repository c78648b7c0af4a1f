"""Results: the folder that cells are kept in, safe to share among jobs and to interrupt."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from hobbit.errors import ConfigError
from hobbit.files import whole_file
from hobbit.report.cell import Cell, append_cell, mend, read_cells

try:
    from fcntl import LOCK_EX, flock
except ImportError:  # Windows: several jobs must not share a folder there
    flock = None  # type: ignore[assignment]

CELLS = "results.jsonl"


class Results:
    """Cells in `folder`, made if need be. Several processes may append at once: each line is whole.

    Raises:
        ConfigError: if the folder cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / CELLS
        with _writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
            with self._locked():
                mend(self.path)

    def cells(self) -> list[Cell]:
        """Every cell in the file."""
        with _writing(self.folder):
            return read_cells(self.path)

    def append(self, cell: Cell) -> None:
        """Keep `cell`."""
        with _writing(self.folder), self._locked() as file:
            append_cell(file, cell)

    def write(self, name: str, text: str) -> Path:
        """A file of the folder that is whole or not there."""
        path = self.folder / name
        with _writing(self.folder), whole_file(path) as file:
            file.write(text.encode())
        return path

    @contextmanager
    def _locked(self) -> Iterator[BinaryIO]:
        """The file, open for appending, while no other process has it."""
        with self.path.open("ab") as file:
            if flock is not None:
                flock(file, LOCK_EX)  # given back when the file is closed
            yield file


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ConfigError(
            f"out={str(folder)!r} cannot be written: {error.strerror or error}; choose another folder"
        ) from None
