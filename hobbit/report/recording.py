"""RecordingReport: what a recorded trace holds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from hobbit.report import headings
from hobbit.report.report import Report, Section
from hobbit.sizes import format_size
from hobbit.trace import RoutingStatistics


@dataclass(frozen=True, slots=True)
class RecordingReport(Report):
    """`path` holds `tokens` of `sequences` (`prompt_tokens` of them prompts) in `nbytes`.

    `texts` are the prompts with their continuations; `statistics` is None where no sequence has two tokens.
    """

    task: ClassVar[str] = "record"
    path: str
    sequences: int
    tokens: int
    prompt_tokens: int
    nbytes: int
    texts: tuple[str, ...]
    statistics: RoutingStatistics | None

    def heading(self) -> Iterable[tuple[str, str]]:
        """The file, the model, the policy, and the routing in figures."""
        size = format_size(self.nbytes)
        yield "trace", f"{self.path}: {self.sequences} sequences, {self.tokens} tokens, {size}"
        yield "tokens", f"{self.prompt_tokens} of prompts, {self.tokens - self.prompt_tokens} generated"
        yield "model", f"{self.scene.model}; routing live"
        yield from headings.policy(self.scene)
        if self.statistics is not None:
            yield "repeats", f"{_percent(self.statistics.repeats)} of first choices are the last token's"
            ahead = ", ".join(f"{100 * share:.1f} %" for share in self.statistics.lookahead)
            yield "look-ahead", f"{ahead} of first choices, 1 layer before and more" if ahead else "none"

    def sections(self) -> Iterable[Section]:
        """No tables."""
        return ()


def _percent(shares: Sequence[float]) -> str:
    return f"{100 * sum(shares) / len(shares):.1f} %"
