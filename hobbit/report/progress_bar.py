"""ProgressBar: what counts of bytes and of cells have in common; on standard error, never in the results."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, TextColumn, TimeRemainingColumn

_INTERVAL_S = 10.0
"""Between plain lines."""


class ProgressBar:
    """A bar where standard error is a terminal, else a plain line now and then. A context manager."""

    def __init__(self, *columns: ProgressColumn) -> None:
        self._console = Console(stderr=True)
        self._started = self._said = monotonic()
        time_left = TimeRemainingColumn(elapsed_when_finished=True)
        self._bar = Progress(
            TextColumn("{task.description}"), BarColumn(), *columns, time_left,
            console=self._console, transient=True,
        )  # fmt: skip

    def _restart(self) -> None:
        """The rate counts from now on."""
        self._started = self._said = monotonic()

    def _rate_of(self, done: int) -> float:
        """So many since the start, by the second."""
        return done / max(1e-9, monotonic() - self._started)

    def _say(self, line: Callable[[], str], last: bool = False) -> None:
        """Where there is no bar: write the line if it is time to, or the last one."""
        now = monotonic()
        if not self._console.is_terminal and (last or now - self._said >= _INTERVAL_S):
            self._said = now
            self._console.print(line(), soft_wrap=True, highlight=False, markup=False)

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._console.is_terminal:
            self._bar.stop()
