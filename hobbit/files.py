"""Files that are whole or not there: written aside, then renamed."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from errno import EISDIR
from pathlib import Path
from typing import BinaryIO


@contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """A file to write, which takes the name `path` once all is written; else what was there stays.

    Raises:
        OSError: if it cannot be written.
    """
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    aside = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
        aside.chmod(0o644)
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)


def check_writable(path: Path) -> None:
    """Raise OSError if a file of that name could not be written; leaves nothing behind."""
    if path.is_dir():
        raise IsADirectoryError(EISDIR, "it is a folder")
    with tempfile.TemporaryFile(dir=path.parent):
        pass
