"""A terminal that a test types into: a program behind a pseudo-terminal, read as it writes."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import subprocess
import sys
import termios
import time
from pathlib import Path
from types import TracebackType

INTERRUPT, END = "\x03", "\x04"
"""What Ctrl-C and Ctrl-D send."""

_PATIENCE_S = 120.0
_MOMENT_S = 1.0


class Terminal:
    """`python -m hobbit WORDS` with a terminal of its own, Ctrl-C and all."""

    def __init__(self, *words: str, cwd: Path) -> None:
        self._master, slave = pty.openpty()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "hobbit", *words], cwd=cwd, stdin=slave, stdout=slave, stderr=slave,
            env=os.environ | {"TERM": "dumb"}, start_new_session=True, preexec_fn=_take_terminal,
        )  # fmt: skip
        os.close(slave)
        self._seen = ""

    def type(self, text: str) -> None:
        """Press keys."""
        os.write(self._master, text.encode())

    def expect(self, text: str) -> str:
        """Wait until `text` appears after what was seen before; what came up to its end."""
        limit = time.monotonic() + _PATIENCE_S
        while text not in self._seen:
            if not select.select([self._master], [], [], max(0, limit - time.monotonic()))[0]:
                raise AssertionError(f"{text!r} did not come; {self._seen!r} did")
            try:
                new = os.read(self._master, 4096)
            except OSError:
                new = b""  # how Linux says that nobody has the terminal open any more
            if not new:
                raise AssertionError(f"{text!r} did not come before the end; {self._seen!r} did")
            self._seen += new.decode(errors="replace").replace("\r\n", "\n")
        found, _, self._seen = self._seen.partition(text)
        return found + text

    def pause(self) -> None:
        """Take a moment, as a person does before pressing Ctrl-C at a prompt.

        Python's readline sleeps through a signal that comes between the echo of a key and its next look at
        the keyboard.
        """
        time.sleep(_MOMENT_S)

    def wait(self) -> int:
        """The exit code."""
        return self._process.wait(_PATIENCE_S)

    def __enter__(self) -> Terminal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        os.close(self._master)


def _take_terminal() -> None:
    """Make standard input the controlling terminal of the new session."""
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
