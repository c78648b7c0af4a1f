"""Rows: what a bench says of one policy or one peer, as plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from hobbit.bench.split import Split


@dataclass(frozen=True, slots=True)
class Shares:
    """Of all selections in decode, hits included: in [0, 1]."""

    high: float
    low: float
    skipped: float
    host: float
    decided: tuple[float, float, float] | None
    """High, low and skipped as the loader's thresholds alone decide them, whatever is resident."""


@dataclass(frozen=True, slots=True)
class PolicyRow:
    """One policy. Speeds are medians over `repeats` sequences, byte counts means a decoded token.

    `moved` went over the link, `copied` is what of it served a demand, `hosted` are weights the host read.
    `link_share` and `host_share` are copied and hosted bytes over the time, against the measured bandwidths.
    `efficiency` is that of docs/benchmarks.md; None without an all-resident row. `loss` says what outputs are
    worth against the model's own weights, `slots` how many each precision has. `peak_bytes` is None where
    nothing counts it.
    """

    policy: str
    loss: str
    repeats: int
    tokens: int
    decode_tokens_per_s: float
    prefill_tokens_per_s: float
    token_ms: float
    spread: float
    shares: Shares
    hit_ratio: float
    moved: float
    copied: float
    hosted: float
    link_share: float
    host_share: float
    floor_ms: float | None
    efficiency: float | None
    budget: int
    planned: int
    peak_bytes: int | None
    slots: Mapping[str, int]
    split: Split | None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PeerRow:
    """One other engine. Speeds are None where it was not measured; `how` says what ran, and scaled how."""

    peer: str
    decode_tokens_per_s: float | None = None
    prefill_tokens_per_s: float | None = None
    how: str = ""
    peak_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Failure:
    """A row that could not be measured, and why."""

    name: str
    reason: str
    trace: str = ""


@dataclass(frozen=True, slots=True)
class BenchResult:
    """Everything one call measured. `setup_s` are the seconds that preparing took, by what was prepared."""

    rows: tuple[PolicyRow, ...]
    peers: tuple[PeerRow, ...]
    failures: tuple[Failure, ...]
    rates: Mapping[str, float]
    setup_s: Mapping[str, float] = field(default_factory=dict)
