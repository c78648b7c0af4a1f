"""Figures: what a run took, phase by phase."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any

from hobbit.runtime import Phase


@dataclass(frozen=True, slots=True)
class Figures:
    """What one phase of a run took; figures of several runs add up. Stall and penalty are `Phase`'s."""

    tokens: int = 0
    seconds: float = 0.0
    stall: float = 0.0
    nbytes: int = 0
    hits: int = 0
    misses: int = 0
    penalty: float = 0.0
    selections: int = 0
    skipped: int = 0
    hosted: int = 0

    @staticmethod
    def of(phase: Phase, sizes: tuple[int, ...]) -> Figures:
        """The figures of `phase`, where a blob of level p has `sizes[p]` bytes."""
        return Figures(
            phase.tokens, phase.time_ns / 1e9, phase.stall_ns / 1e9, phase.bytes, sum(phase.hits),
            sum(phase.misses), phase.miss_penalty(sizes), phase.selections, phase.skipped_selections,
            phase.hosted_selections,
        )  # fmt: skip

    def __add__(self, other: Figures) -> Figures:
        return Figures(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))

    @property
    def rate(self) -> float:
        """Tokens a second."""
        return self.tokens / self.seconds

    @property
    def hit_ratio(self) -> float:
        """Hits over demands that wanted a copy."""
        return self.hits / max(1, self.hits + self.misses)


@dataclass(frozen=True, slots=True)
class Outcome:
    """Figures of a run, or of several in sum; `error` says why there are none."""

    prefill: Figures = Figures()
    decode: Figures = Figures()
    slots: tuple[int, ...] = ()
    error: str = ""

    def __add__(self, other: Outcome) -> Outcome:
        return Outcome(
            self.prefill + other.prefill, self.decode + other.decode, self.slots, self.error or other.error
        )

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)
