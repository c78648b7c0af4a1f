"""Shown: text on its way to the terminal, without the mark that ends an answer."""

from __future__ import annotations

from collections.abc import Callable


class Shown:
    """Passes text on to `write` as it comes, up to `mark`; what may be the start of it waits."""

    def __init__(self, write: Callable[[str], None], mark: str | None) -> None:
        self._write = write
        self._mark = mark
        self._held = ""
        self._over = False

    def __call__(self, text: str) -> None:
        """Hear of new text."""
        if self._over:
            return
        if self._mark is None:
            self._write(text)
            return
        clear, found, _ = (self._held + text).partition(self._mark)
        self._over = bool(found)
        kept = 0 if found else _overlap(clear, self._mark)
        self._held = clear[len(clear) - kept :]
        if clear[: len(clear) - kept]:
            self._write(clear[: len(clear) - kept])

    def end(self) -> None:
        """There is no more: what waited was no mark."""
        if self._held and not self._over:
            self._write(self._held)


def _overlap(text: str, mark: str) -> int:
    """Length of the longest end of `text` that `mark` begins with."""
    return next((n for n in range(min(len(text), len(mark)), 0, -1) if text.endswith(mark[:n])), 0)
