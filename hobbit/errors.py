"""Errors that a user can act on: one clear line each, exit code 2 from the command line."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class HobbitError(Exception):
    """Base of every error whose message is meant for the user.

    The message is one line that names the value, says why it is wrong and what to do instead.
    """

    exit_code = 2


class ConfigError(HobbitError):
    """An option, component or preset that does not exist or does not fit the others."""


class BudgetError(HobbitError):
    """A memory budget that cannot hold what the run needs."""


class ModelError(HobbitError):
    """A checkpoint that cannot be run: not an MoE, a missing shard, an unsupported family."""


class BundleError(ModelError):
    """A bundle that cannot be made or read: damaged, incomplete, or newer than this version."""


class StoreError(HobbitError):
    """An expert that cannot be read from where it is stored, or is not what was stored."""


class TraceError(HobbitError):
    """A trace that cannot be read, is newer than this version, or does not fit the run."""


class DeviceError(HobbitError):
    """A device that is absent or failed."""


class SlotMemoryError(DeviceError):
    """Slots that a device cannot allocate; `free` bytes would still fit (0: not known)."""

    def __init__(self, message: str, free: int = 0) -> None:
        super().__init__(message)
        self.free = free


class PluginError(HobbitError):
    """A plugin that breaks a rule of the registry: a duplicate or malformed component."""


def first_line(error: BaseException) -> str:
    """The first line of a foreign error's message; its type where it says nothing."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


def nearest(name: str, known: Iterable[str]) -> str:
    """``"; did you mean 'x'?"`` for the closest known name, else the list of known names."""
    options = sorted(known)
    close = get_close_matches(name, options, n=1, cutoff=0.6)
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; known: {', '.join(options)}" if options else ""
