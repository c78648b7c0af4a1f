"""Compiled libraries in the user's cache folder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory

SUFFIX = ".so"


def cache_folder() -> Path | None:
    """$XDG_CACHE_HOME/hobbit/host_kernels, by default in ~/.cache; None without a home."""
    chosen = Path(os.environ.get("XDG_CACHE_HOME", ""))
    try:
        base = chosen if chosen.is_absolute() else Path.home() / ".cache"
    except RuntimeError:
        return None
    return base / "hobbit" / "host_kernels"


@dataclass(frozen=True, slots=True)
class LibraryCache:
    """Libraries made from one source in one way, `key` (a hash) being both.

    A file's name ends in the hash of its bytes, so none is ever taken half written or damaged, and two
    processes that compile at once cannot harm each other. Where `folder` is None or cannot be written,
    nothing is kept.
    """

    folder: Path | None
    key: str

    def whole(self) -> list[Path]:
        """The libraries that are as they were written; others are deleted."""
        found = []
        with suppress(OSError):
            for path in sorted(self.folder.glob(f"{self.key}-*{SUFFIX}")) if self.folder else ():
                if path.name == self._name(path):
                    found.append(path)
                else:
                    path.unlink()
        return found

    @contextmanager
    def workplace(self) -> Iterator[Path]:
        """The path for a library to be made at, in a folder of its own that goes with the context."""
        with self._aside() as aside:
            yield Path(aside) / f"expert{SUFFIX}"

    def keep(self, made: Path) -> None:
        """Let others have a library that was made and is right."""
        if self.folder is not None:
            with suppress(OSError):
                made.replace(self.folder / self._name(made))

    def _aside(self) -> TemporaryDirectory[str]:
        if self.folder is not None:
            with suppress(OSError):
                self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                return TemporaryDirectory(prefix=".", dir=self.folder, ignore_cleanup_errors=True)
        return TemporaryDirectory(prefix="hobbit-", ignore_cleanup_errors=True)

    def _name(self, path: Path) -> str:
        return f"{self.key}-{sha256(path.read_bytes()).hexdigest()[:16]}{SUFFIX}"
