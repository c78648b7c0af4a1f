"""GridProgress: how many cells of a grid are done, how many a minute, and the time left."""

from __future__ import annotations

from rich.progress import MofNCompleteColumn, TextColumn

from hobbit.report.progress_bar import ProgressBar


class GridProgress(ProgressBar):
    """`kept` cells of `total` were done by a run before: they count as done, and not for the rate."""

    def __init__(self, total: int, kept: int) -> None:
        super().__init__(MofNCompleteColumn(), TextColumn("{task.fields[rate]}"))
        self._total, self._kept, self._done = total, kept, 0
        self._task = self._bar.add_task("cells", total=total, completed=kept, rate="")

    def advance(self, what: str) -> None:
        """One more cell is done; `what` names it."""
        self._done += 1
        self._bar.update(self._task, advance=1, description=what, rate=f"{self._rate:.1f} a minute")
        self._say(lambda: self._line(what), last=self._kept + self._done == self._total)

    @property
    def _rate(self) -> float:
        """Cells a minute."""
        return 60 * self._rate_of(self._done)

    def _line(self, what: str) -> str:
        left = (self._total - self._kept - self._done) / self._rate if self._rate else 0.0
        return (
            f"{self._kept + self._done} of {self._total} cells, {self._rate:.1f} a minute, "
            f"{left:.1f} minutes left: {what}"
        )
