"""Standard input as a prompt: what is piped in, read once, without waiting for what never comes."""

from __future__ import annotations

import os
import select
import stat
from functools import lru_cache

from hobbit.errors import ConfigError

_DESCRIPTOR = 0
_PATIENCE_S = 1.0
"""How long a silent pipe is given to say something, unless it was asked for."""


@lru_cache(maxsize=1)
def piped_text(wait: bool) -> str | None:
    """The text on standard input without its last line's end.

    With `wait`, all of it is read, to the end of the input, whatever it is. Without, None is given for a
    terminal, for a pipe on which nothing comes soon (a parent that left its own open), and for no text.

    Raises:
        ConfigError: if it is not UTF-8, or nothing can be read where something was asked for.
    """
    if not wait and not _something_comes():
        return None
    try:
        with os.fdopen(os.dup(_DESCRIPTOR), "rb") as file:
            text = file.read().decode()
    except UnicodeDecodeError:
        raise ConfigError("standard input is not UTF-8 text; convert it, or give prompt_file=FILE") from None
    except OSError as error:
        raise ConfigError(f"standard input cannot be read: {error.strerror}; give prompt=TEXT") from None
    if not text.strip() and not wait:
        return None
    return text.removesuffix("\n").removesuffix("\r")


def _something_comes() -> bool:
    try:
        mode = os.fstat(_DESCRIPTOR).st_mode
        if stat.S_ISREG(mode):
            return True
        if not stat.S_ISFIFO(mode) and not stat.S_ISSOCK(mode):
            return False
        return bool(select.select([_DESCRIPTOR], [], [], _PATIENCE_S)[0])
    except OSError:
        return False
