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
def whole_file(path: Path, durable: bool = False) -> Iterator[BinaryIO]:
    """A file to write, which takes the name `path` once all is written; else what was there stays.

    `durable`: its bytes are on the disk before it takes the name, the name before this returns.

    Raises:
        OSError: if it cannot be written.
    """
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    aside = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            if durable:
                file.flush()
                os.fsync(file.fileno())
        aside.chmod(0o644)
        aside.replace(path)
        if durable:
            sync_folder(path.parent)
    finally:
        aside.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Have the names in `folder` on the disk. Raises OSError."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def check_writable(path: Path) -> None:
    """Raise OSError if a file of that name could not be written; leaves nothing behind."""
    if path.is_dir():
        raise IsADirectoryError(EISDIR, "it is a folder")
    with tempfile.TemporaryFile(dir=path.parent):
        pass
