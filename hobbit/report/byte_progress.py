"""ByteProgress: how many bytes are done, at what rate, and the time left; on standard error."""

from __future__ import annotations

from time import monotonic
from types import TracebackType

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from hobbit.sizes import format_size

_INTERVAL_S = 10.0
"""Between plain lines."""


class ByteProgress:
    """A bar where standard error is a terminal, else a plain line now and then. A context manager.

    `kept` bytes of `total` were done before: they count as done, and not for the rate.
    """

    def __init__(self, what: str, total: int) -> None:
        self._console = Console(stderr=True)
        self._what, self._total, self._done, self._kept = what, total, 0, 0
        self._started = self._said = monotonic()
        columns = (
            TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn(),
            TimeRemainingColumn(elapsed_when_finished=True),
        )  # fmt: skip
        self._bar = Progress(*columns, console=self._console, transient=True)
        self._task = self._bar.add_task(what, total=total)

    def keep(self, nbytes: int) -> None:
        """So many bytes were done by a call before."""
        self._kept += nbytes
        self._done += nbytes
        self._bar.reset(self._task, total=self._total, completed=self._done)
        self._started = self._said = monotonic()

    def advance(self, nbytes: int) -> None:
        """So many more bytes are done."""
        self._done += nbytes
        self._bar.update(self._task, advance=nbytes)
        now = monotonic()
        if not self._console.is_terminal and now - self._said >= _INTERVAL_S:
            self._said = now
            self._console.print(self._line(), soft_wrap=True, highlight=False, markup=False)

    def _line(self) -> str:
        rate = (self._done - self._kept) / max(1e-9, monotonic() - self._started)
        left = (self._total - self._done) / rate if rate else 0.0
        return (
            f"{self._what}: {format_size(self._done)} of {format_size(self._total)}, {format_size(rate)}/s, "
            f"{left / 60:.1f} minutes left"
        )

    def __enter__(self) -> ByteProgress:
        if self._console.is_terminal:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._console.is_terminal:
            self._bar.stop()
