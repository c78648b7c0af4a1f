"""Stats: what an offloaded model has done so far, as plain figures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from hobbit.assembly import Assembly
from hobbit.memory import MemoryPlan
from hobbit.runtime import Phase


@dataclass(frozen=True, slots=True)
class PhaseStats:
    """Figures of one phase. Ratios and shares are in [0, 1], bytes and seconds totals.

    `hits` and `misses` count (layer, expert) requests that found a copy, or not; `served` gives the share of
    all selections by precision, hits included, beside those `skipped` and run on the `hosted` side. `loaded`
    and `prefetched` are the bytes of on-demand and of early copies; `stall_s` is the time lost to waiting.
    """

    tokens: int
    seconds: float
    tokens_per_second: float
    hits: int
    misses: int
    hit_ratio: float
    served: Mapping[str, float]
    skipped: float
    hosted: float
    loaded_bytes: int
    prefetched_bytes: int
    stall_s: float

    @staticmethod
    def of(phase: Phase, precisions: tuple[str, ...]) -> PhaseStats:
        """The figures of what `phase` has counted so far."""
        shares = [phase.share(count) for count in phase.served]
        return PhaseStats(
            tokens=phase.tokens,
            seconds=phase.time_ns / 1e9,
            tokens_per_second=phase.tokens_per_second,
            hits=sum(phase.hits),
            misses=sum(phase.misses),
            hit_ratio=phase.hit_ratio,
            served=_by_precision(precisions, shares),
            skipped=phase.share(phase.skipped_selections),
            hosted=phase.share(phase.hosted_selections),
            loaded_bytes=phase.demand_bytes,
            prefetched_bytes=phase.prefetch_bytes,
            stall_s=phase.stall_ns / 1e9,
        )


@dataclass(frozen=True, slots=True)
class Stats:
    """Everything since the model was loaded or attached.

    `prefill` counts the first pass of each sequence and every pass of several tokens a sequence (a chunk of a
    prompt, the check of an assistant's draft); `decode` the others. `simulated`: times are those of a virtual
    clock.
    """

    policy: str
    precisions: tuple[str, ...]
    simulated: bool
    prefill: PhaseStats
    decode: PhaseStats
    memory: MemoryPlan

    @staticmethod
    def of(policy: str, assembly: Assembly) -> Stats:
        """The figures of a runtime so far."""
        metrics, names = assembly.metrics, assembly.precisions
        return Stats(
            policy=policy,
            precisions=names,
            simulated=assembly.report().simulated,
            prefill=PhaseStats.of(metrics.prefill, names),
            decode=PhaseStats.of(metrics.decode, names),
            memory=assembly.plan,
        )


def _by_precision(precisions: tuple[str, ...], shares: list[float]) -> dict[str, float]:
    """Levels of the same precision (a policy that uses one) count together."""
    found = dict.fromkeys(precisions, 0.0)
    for name, share in zip(precisions, shares, strict=True):
        found[name] += share
    return found
