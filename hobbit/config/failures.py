"""What Hydra and OmegaConf object to, said in one line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields, is_dataclass

from hydra.errors import HydraException, OverrideParseException
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, OmegaConfBaseException, ValidationError

from hobbit.errors import ConfigError, nearest


@contextmanager
def translated() -> Iterator[None]:
    """Turn errors of Hydra and OmegaConf into ConfigError."""
    try:
        yield
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError(_message(error)) from error


def _message(error: Exception) -> str:
    if isinstance(error, OverrideParseException):
        return f"{error.override!r} cannot be read as an option; put the value in quotes inside the shell's"
    cause: BaseException = error
    while cause.__cause__ is not None and not isinstance(cause, OmegaConfBaseException):
        cause = cause.__cause__
    if isinstance(cause, ConfigAttributeError | ConfigKeyError):
        return _unknown_key(cause)
    if isinstance(cause, ValidationError):
        return f"{cause.full_key}: {_first_line(cause)}"
    line = _first_line(error) or _first_line(cause)
    return f"{line}; for a run of each, add --multirun" if line.startswith("Ambiguous value") else line


def _unknown_key(error: OmegaConfBaseException) -> str:
    schema = error.object_type
    known = [option.name for option in fields(schema)] if schema is not None and is_dataclass(schema) else []
    return f"no option is called {str(error.full_key)!r}{nearest(str(error.key), known)}"


def _first_line(error: BaseException) -> str:
    return str(error).strip().split("\n")[0]
