"""The entry point: finds out what the words ask for, and says in one line what is wrong with them."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from hobbit import __version__
from hobbit.errors import HobbitError

INTERRUPTED = 130
"""Exit code after Ctrl-C: 128 and the number of SIGINT."""


def main(words: Sequence[str] | None = None) -> int:
    """Run `hobbit WORDS`; returns the exit code: 0, 2 for what the user can mend, 130 after Ctrl-C.

    Anything else that is raised is a bug of ours and keeps its traceback.
    """
    try:
        code = _dispatch(list(sys.argv[1:] if words is None else words))
        sys.stdout.flush()
        return code
    except HobbitError as error:
        print(f"hobbit: error: {' '.join(str(error).split())}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # The reader left (`hobbit plugins | head`): nothing may be written to the pipe at exit either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _dispatch(words: list[str]) -> int:
    """Help and the listing come first: they need neither Hydra nor a configuration."""
    if {"--help", "-h"} & set(words):
        from hobbit.cli.help import help_text

        print(help_text())
        return 0
    if words == ["--version"]:
        print(f"hobbit {__version__}")
        return 0
    words = ["output=json" if word == "--json" else word for word in words]
    if any(word.startswith("-") for word in words):
        from hobbit.cli.hydra_flags import run_with_flags

        return run_with_flags(words)
    if "plugins" in words[:1] or "task=plugins" in words:
        from hobbit.tasks.plugins import print_plugins

        return print_plugins(as_json="output=json" in words)
    from hobbit.cli.single import run_single

    return run_single(words)
