"""Measures: the figures of one run that every table prints, worked out once from the counts."""

from __future__ import annotations

from dataclasses import dataclass

from hobbit.api import DeviceReport
from hobbit.runtime import Metrics, Phase

TRANSFER_STREAMS = ("link", "disk")
"""Streams that experts travel on; the busiest of them is the one that limits."""


@dataclass(frozen=True, slots=True)
class Measures:
    """Figures of one policy on one routing. Ratios and shares are in [0, 1]; `None`: nothing to measure.

    Prefill and decode are apart; everything but `prefill_s` speaks of decode. `simulated` tells which clock
    the times are on. `hit_ratios` and `served` have one entry per precision level, high first; shares are of
    all selections, hits included. `bytes_per_token` counts the copies issued, prefetches included.
    `batch_tokens` are the tokens of a pass, `batch_experts` the experts that a layer demands in it: means.
    """

    simulated: bool
    prefill_tokens: int
    prefill_s: float
    decode_tokens: int
    decode_tokens_per_s: float
    hit_ratio: float
    hit_ratios: tuple[float, ...]
    served: tuple[float, ...]
    skipped: float
    hosted: float
    bytes_per_token: float
    loads: int
    miss_penalty: float
    prefetch_use: float | None
    stall_share: float
    transfer_stream: str
    transfer_utilisation: float
    batch_tokens: float = 1.0
    batch_experts: float = 0.0


@dataclass(frozen=True, slots=True)
class Replayed:
    """A run's routing under another preset."""

    policy: str
    measures: Measures


def measure(metrics: Metrics, report: DeviceReport, blob_bytes: tuple[int, ...]) -> Measures:
    """The measures of what `metrics` counted up to `report`."""
    prefill, decode = metrics.prefill, metrics.decode
    stream = max(TRANSFER_STREAMS, key=lambda name: report.busy_ns.get(name, 0))
    elapsed = prefill.time_ns + decode.time_ns
    return Measures(
        simulated=report.simulated,
        prefill_tokens=prefill.tokens,
        prefill_s=prefill.time_ns / 1e9,
        decode_tokens=decode.tokens,
        decode_tokens_per_s=decode.tokens_per_second,
        hit_ratio=decode.hit_ratio,
        hit_ratios=tuple(decode.level_hit_ratio(level) for level in range(decode.levels)),
        served=tuple(decode.share(count) for count in decode.served),
        skipped=decode.share(decode.skipped_selections),
        hosted=decode.share(decode.hosted_selections),
        bytes_per_token=decode.bytes / decode.tokens if decode.tokens else 0.0,
        loads=decode.loads,
        miss_penalty=decode.miss_penalty(blob_bytes),
        prefetch_use=_prefetch_use(decode),
        stall_share=decode.stall_ns / decode.time_ns if decode.time_ns else 0.0,
        transfer_stream=stream,
        transfer_utilisation=report.busy_ns.get(stream, 0) / elapsed if elapsed else 0.0,
        batch_tokens=decode.tokens / decode.passes if decode.passes else 0.0,
        batch_experts=decode.demands / decode.layers if decode.layers else 0.0,
    )


def _prefetch_use(phase: Phase) -> float | None:
    issued = sum(phase.prefetches)
    return phase.prefetches_used / issued if issued else None
