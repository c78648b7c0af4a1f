"""Interrupt: Ctrl-C as a wish, so that an answer ends between two tokens and the session goes on."""

from __future__ import annotations

import signal
from types import FrameType, TracebackType


class Interrupt:
    """Within it, the first Ctrl-C is only noted; the second one raises KeyboardInterrupt as ever."""

    def __init__(self) -> None:
        self.wanted = False
        self._before: object = None

    def __call__(self) -> bool:
        """Whether somebody wants to stop."""
        return self.wanted

    def __enter__(self) -> Interrupt:
        self.wanted = False
        self._before = signal.signal(signal.SIGINT, self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        signal.signal(signal.SIGINT, self._before)  # type: ignore[arg-type]

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.wanted:
            raise KeyboardInterrupt
        self.wanted = True
