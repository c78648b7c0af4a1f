"""GridProgress: how far a grid is, its rate and the time left; on standard error, never in the results."""

from __future__ import annotations

from time import monotonic
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

_INTERVAL_S = 10.0
"""Between plain lines."""


class GridProgress:
    """A bar where standard error is a terminal, else a plain line now and then. A context manager."""

    def __init__(self, total: int, kept: int) -> None:
        self._console = Console(stderr=True)
        self._total, self._kept, self._done = total, kept, 0
        self._started = self._said = monotonic()
        columns = (
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"), TimeRemainingColumn(elapsed_when_finished=True),
        )  # fmt: skip
        self._bar = Progress(*columns, console=self._console, transient=True)
        self._task = self._bar.add_task("cells", total=total, completed=kept, rate="")

    def advance(self, what: str) -> None:
        """One more cell is done; `what` names it."""
        self._done += 1
        self._bar.update(self._task, advance=1, description=what, rate=f"{self._rate:.1f} a minute")
        now = monotonic()
        last = self._kept + self._done == self._total
        if not self._console.is_terminal and (last or now - self._said >= _INTERVAL_S):
            self._said = now
            self._console.print(self._line(what), soft_wrap=True, highlight=False, markup=False)

    @property
    def _rate(self) -> float:
        """Cells a minute."""
        return 60 * self._done / max(1e-9, monotonic() - self._started)

    def _line(self, what: str) -> str:
        left = (self._total - self._kept - self._done) / self._rate if self._rate else 0.0
        return (
            f"{self._kept + self._done} of {self._total} cells, {self._rate:.1f} a minute, "
            f"{left:.1f} minutes left: {what}"
        )

    def __enter__(self) -> GridProgress:
        if self._console.is_terminal:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._console.is_terminal:
            self._bar.stop()
