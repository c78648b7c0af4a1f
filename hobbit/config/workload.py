"""What policies are compared on: lengths of prompts and of what is generated after them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from hobbit.errors import ConfigError


class Lengths(NamedTuple):
    """Tokens of a prompt, and tokens decoded after it."""

    prompt: int
    decode: int

    def __str__(self) -> str:
        return f"{self.prompt}+{self.decode}"


@dataclass
class Workload:
    """`pairs`: lengths of prompt and continuation, each compared by itself, one sequence at a time.

    `name` is what tables call them.
    """

    name: str = "custom"
    pairs: list[list[int]] = field(default_factory=list)

    def lengths(self) -> list[Lengths]:
        """The pairs, checked.

        Raises:
            ConfigError: if there are none, or one is no pair of positive numbers.
        """
        if not self.pairs:
            raise ConfigError(
                "workload.pairs is empty; give lengths of prompt and continuation: workload.pairs=[[16,32]]"
            )
        for pair in self.pairs:
            if len(pair) != 2 or min(pair) < 1:
                raise ConfigError(
                    f"workload.pairs: {pair} is no pair of lengths; give two numbers of 1 or more: [16,32]"
                )
        return [Lengths(*pair) for pair in dict.fromkeys(map(tuple, self.pairs))]
