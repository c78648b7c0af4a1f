"""What a line that begins with a slash asks for."""

from __future__ import annotations

from enum import Enum

from hobbit.errors import ConfigError, nearest


class Command(Enum):
    """A command, with what /help says of it."""

    stats = "what was done since the policy began: memory, hits, bytes, speed"
    policy = "the policy's name; /policy NAME goes on under another one"
    reset = "forget what was said"
    help = "this list"
    quit = "end the session (so does Ctrl-D); Ctrl-C ends an answer"


def parse(line: str) -> tuple[Command, str]:
    """The command of a line such as "/policy lru", and what follows it.

    Raises:
        ConfigError: if there is no such command.
    """
    name, _, rest = line.removeprefix("/").partition(" ")
    if name not in Command.__members__:
        known = [f"/{known}" for known in Command.__members__]
        raise ConfigError(f"no command is called {'/' + name!r}{nearest('/' + name, known)}")
    return Command[name], rest.strip()


def help_lines() -> list[str]:
    """A line for each command."""
    width = max(map(len, Command.__members__))
    return [f"/{command.name:{width}}  {command.value}" for command in Command]
