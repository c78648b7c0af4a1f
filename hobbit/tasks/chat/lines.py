"""Where the lines of a chat come from: somebody at a terminal, or a pipe."""

from __future__ import annotations

import sys
from collections.abc import Iterator

from hobbit.errors import ConfigError
from hobbit.tasks.inputs import is_text

PROMPT = "> "
INTERRUPTED = "(/quit or Ctrl-D ends the session)"


def typed_lines() -> Iterator[str]:
    """The lines of standard input until its end, without blank ones; a terminal is asked for each.

    Ctrl-C at the terminal's prompt drops the line that was begun.

    Raises:
        ConfigError: if a line is not UTF-8.
    """
    asked = sys.stdin.isatty()
    if asked:
        import readline  # noqa: F401  # input() edits lines and remembers them once this is imported
    while True:
        try:
            line = input(PROMPT if asked else "")
        except EOFError:
            return
        except KeyboardInterrupt:
            if not asked:
                raise
            print(f"\n{INTERRUPTED}")
            continue
        except UnicodeDecodeError:
            raise ConfigError("standard input is not UTF-8 text; convert it") from None
        if not is_text(line):
            raise ConfigError("standard input is not UTF-8 text; convert it")
        if line.strip():
            yield line
