"""ByteProgress: how many bytes are done, at what rate, and the time left."""

from __future__ import annotations

from rich.progress import DownloadColumn, TransferSpeedColumn

from hobbit.report.progress_bar import ProgressBar
from hobbit.sizes import format_size


class ByteProgress(ProgressBar):
    """Bytes that were done by a call before are kept: they count as done, and not for the rate."""

    def __init__(self, what: str, total: int) -> None:
        super().__init__(DownloadColumn(), TransferSpeedColumn())
        self._what, self._total, self._done, self._kept = what, total, 0, 0
        self._task = self._bar.add_task(what, total=total)

    def keep(self, nbytes: int) -> None:
        """So many bytes were done by a call before."""
        self._kept += nbytes
        self._done += nbytes
        self._bar.reset(self._task, total=self._total, completed=self._done)
        self._restart()

    def advance(self, nbytes: int) -> None:
        """So many more bytes are done."""
        self._done += nbytes
        self._bar.update(self._task, advance=nbytes)
        self._say(self._line)

    def _line(self) -> str:
        rate = self._rate_of(self._done - self._kept)
        left = (self._total - self._done) / rate if rate else 0.0
        return (
            f"{self._what}: {format_size(self._done)} of {format_size(self._total)}, {format_size(rate)}/s, "
            f"{left / 60:.1f} minutes left"
        )
