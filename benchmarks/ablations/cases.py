"""Cases: what is changed in HOBBIT, as words of the command line, in groups."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product

from benchmarks.reproduction.caches import POLICIES, SHARES, memory_of
from benchmarks.reproduction.claims import ORIN, RTX4090
from benchmarks.reproduction.runs import Run
from hobbit.config.workload import Lengths
from hobbit.trace.bundled import DOMAINS

DEVICES = (ORIN, RTX4090)
LENGTHS = Lengths(16, 128)

HOBBIT = "policy=hobbit"
NO_PREFETCH = "policy=hobbit_no_prefetch"

PAIRS = (
    ("native", "int8"), ("native", "int4"), ("native", "int2"), ("lossless12", "int4"),
    ("lossless12", "int2"), ("int8", "int4"), ("int8", "int2"), ("int4", "int2"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Group:
    """Ways of doing one thing, by name; `text` says what is compared."""

    name: str
    text: str
    cases: Mapping[str, tuple[str, ...]]


def _techniques() -> dict[str, tuple[str, ...]]:
    """Every combination of the three; what is off is demand loading, no prefetching, LRU."""
    off = {"dynamic loading": "loader=on_demand", "prefetching": "prefetcher=none", "own cache": "cache=lru"}
    found = {}
    for switches in product((True, False), repeat=len(off)):
        states = list(zip(off.items(), switches, strict=True))
        name = " + ".join(technique for (technique, _), on in states if on) or "none of the three"
        found[name] = (HOBBIT, *(word for (_, word), on in states if not on))
    return found


def _calibrated(high: float, low: float) -> tuple[str, ...]:
    return "loader.calibrate=always", f"loader.calibrate_high={high}", f"loader.calibrate_low={low}"


GROUPS = (
    Group(
        "techniques",
        "The three techniques, on and off. Off: demand loading, no prefetching, LRU.",
        _techniques(),
    ),
    Group(
        "depth",
        "Layers that prefetching looks ahead: p.",
        {"p = 0": (HOBBIT, "prefetcher=none")}
        | {f"p = {depth}": (HOBBIT, f"prefetcher.depth={depth}") for depth in range(1, 5)},
    ),
    Group(
        "precisions",
        "Pairs of precisions, high and low.",
        {f"{high}, {low}": (HOBBIT, f"precision.high={high}", f"precision.low={low}") for high, low in PAIRS},
    ),
    Group(
        "thresholds",
        "Thresholds that make so many selections of the routing high, low and skipped; and fixed ones.",
        {
            f"{high:.0%} high, {low:.0%} low": (HOBBIT, *_calibrated(high, low))
            for high, low in ((0.5, 0.5), (0.5, 0.4), (0.67, 0.33), (0.67, 0.3), (0.8, 0.2), (0.9, 0.1))
        }
        | {
            "T1 = 0.6, T2 = 0.9 (Mixtral's)": (HOBBIT, "loader.t1=0.6", "loader.t2=0.9"),
            "T1 = T2 = 0.9: nothing low": (HOBBIT, "loader.t1=0.9", "loader.t2=0.9"),
            "T1 = 1: all high": (HOBBIT, "loader.t1=1"),
        },
    ),
    Group(
        "sizes",
        "Memory: what its caches hold, as a share of all experts at Orin's high precision.",
        {f"{100 * share:g} %": (HOBBIT, memory_of(share)) for share in (*SHARES, 0.75)},
    ),
    Group(
        "splits",
        "The low-precision cache's share of the expert memory.",
        {f"{share:.0%}": (HOBBIT, f"cache.low_share={share}") for share in (0.02, 0.05, 0.1, 0.2, 0.4)},
    ),
    Group(
        "records",
        "Use records that begin anew with a sequence, against records of the model.",
        {
            f"{cache}, records of the {scope}": (NO_PREFETCH, f"cache={cache}", f"records={scope}")
            for cache, scope in product(("lfu", "lcu", "multidim_tuned"), ("sequence", "model"))
        },
    ),
    Group(
        "caches",
        "Cache policies alone and mixed, without prefetching.",
        {name: (NO_PREFETCH, *words) for name, words in POLICIES.items() if "records=model" not in words},
    ),
    Group(
        "transfers",
        "Prefetches that an urgent copy waits for, or interrupts at the next block (MoE-APEX).",
        {"whole copies": (HOBBIT, "transfers=whole")}
        | {f"blocks of {size}": (HOBBIT, f"transfers.block={size}") for size in ("96MB", "32MB", "8MB")},
    ),
)


def run_of(words: tuple[str, ...], device: str) -> Run:
    """A case on one device: a prompt of 16 tokens and 128 generated, of each domain's test trace."""
    return Run(words, device, lengths=LENGTHS, traces=DOMAINS)
