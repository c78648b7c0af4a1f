"""What policies are compared on: lengths of prompts and of what is generated after them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from hobbit.errors import ConfigError
from hobbit.setup import QueueOptions


class Lengths(NamedTuple):
    """Tokens of a prompt, and tokens decoded after it."""

    prompt: int
    decode: int

    def __str__(self) -> str:
        return f"{self.prompt}+{self.decode}"


@dataclass
class Workload:
    """`pairs`: lengths of prompt and continuation, each compared by itself, one sequence at a time.

    With `waiting` above 1, so many requests are served at once: their next tokens wait in a queue, and run in
    passes of at most `budget` tokens, as `batcher` shares them out. `name` is what tables call the workload.
    """

    name: str = "custom"
    pairs: list[list[int]] = field(default_factory=list)
    waiting: int = 1
    budget: int = 16

    @property
    def label(self) -> str:
        """The name, and the queue if there is one."""
        queue = f", {self.waiting} waiting, {self.budget} a batch" if self.waiting > 1 else ""
        return f"{self.name}{queue}"

    def queue(self) -> QueueOptions:
        """The queue, checked. Raises ConfigError if it holds nobody, or a pass no token."""
        for option in ("waiting", "budget"):
            if getattr(self, option) < 1:
                raise ConfigError(
                    f"workload.{option}={getattr(self, option)} leaves nobody to serve; give 1 or more"
                )
        return QueueOptions(self.waiting, self.budget)

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
