"""Golden counts: what every preset does with a fixed trace at four capacities, to the last byte and ns."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from hobbit.assembly import assemble
from hobbit.config.compose import compose
from hobbit.config.schema import HobbitConfig
from hobbit.trace import RoutingStatistics, Trace, bundled_trace, generate
from hobbit.trace.bundled import DOMAINS
from hobbit.trace.past import bundled_past, past_of
from hobbit.trace.replay import future_of, replay
from hobbit.types import RoutingShape

FILE = Path(__file__).with_name("counts.json")
CAPACITIES = ("12GB", "24GB", "40GB", "64GB")  # the first is below one token's working set
POLICIES = (
    "on_demand", "lru", "lfu", "mixtral_offloading", "belady", "all_resident", "hobbit", "hobbit_lru",
    "hobbit_no_prefetch", "hobbit_lossless", "hobbit_cooperative", "hobbit_balanced", "moe_apex",
    "moe_infinity", "edgemoe", "adapmoe", "fiddler", "freetoken", "llama_cpp", "accelerate",
    "cache_conditional", "pregated", "readme", "fate", "shared", "hobbit_shared",
)  # fmt: skip
SEQUENCES = (0,)
FIELDS = ("hits", "misses", "skipped", "hosted", "loads", "bytes", "stall_ns")
SYNTHETIC = "synthetic"
TRACES = (SYNTHETIC, *DOMAINS)

Counts = dict[str, dict[str, Any]]


@cache
def trace_of(name: str) -> Trace:
    """A bundled trace by its domain, or a generated one of the same shape."""
    if name != SYNTHETIC:
        return bundled_trace(name)
    statistics = RoutingStatistics((0.25, 0.4), (0.45, 0.5), 0.7, (0.9, 0.85, 0.8, 0.75))
    return generate(RoutingShape(32, 8, 2), statistics, ((16, 24),), seed=11)


@cache
def config_of(policy: str) -> HobbitConfig:
    """The preset on a simulated device with the numbers of its class."""
    return compose([f"policy={policy}", "device=sim"])


def cases() -> Iterator[tuple[str, str, str]]:
    """(trace, policy, capacity)."""
    for trace in TRACES:
        for policy in POLICIES:
            for capacity in CAPACITIES:
                yield trace, policy, capacity


def counts_of(trace: str, policy: str, capacity: str) -> Counts:
    """The fields of `hobbit.runtime.Phase` named in FIELDS, of prefill and decode."""
    config = config_of(policy)
    config.memory.device = capacity
    recorded = trace_of(trace)
    future = future_of(recorded, SEQUENCES) if config.setup().needs_future else None
    past = past_of(recorded.header) if trace == SYNTHETIC else bundled_past
    assembly = assemble(config.setup(), config.geometry, tokens=64, future=future, past=past)
    replay(recorded, assembly.runtime, SEQUENCES)
    assembly.close()
    return {
        name: {field: getattr(phase, field) for field in FIELDS}
        for name, phase in (("prefill", assembly.metrics.prefill), ("decode", assembly.metrics.decode))
    }


def loads_of(counts: Counts) -> int:
    """Copies issued in both phases, prefetches included."""
    return sum(phase["loads"] for phase in counts.values())


def stored() -> dict[str, Counts]:
    """The counts on file, by "trace/policy/capacity"."""
    counts: dict[str, Counts] = json.loads(FILE.read_text())
    return counts
