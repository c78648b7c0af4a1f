"""What is measured on which model, and the bars that the rows are held against."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from hobbit.bench.row import BenchResult, PolicyRow


def packed(entry: str) -> str:
    """The entry with bfloat16 stored in 12 bits instead of 16, in the same memory."""
    return f"{entry}{',' if ':' in entry else ':'}precision.high=lossless12"


SHARED = ("lru:loader=shared,cache=lfu", "shared", "lru:loader=shared,cache=multidim_tuned")
LOSSLESS = (*SHARED, "lru:loader=balanced,cache=multidim_tuned", *map(packed, SHARED))
"""Host and device share each miss, or a layer's misses."""
DEVICE_ONLY = ("lru", "lru:cache=multidim_tuned", packed("lru:cache=multidim_tuned"))
QWEN_LOSSLESS = (
    "lru:cache=lru_dp,prefetcher=stacked_gate",
    packed("lru:cache=lru_dp,prefetcher=stacked_gate"),
    "lru:cache=lru_per_layer,prefetcher=stacked_gate,prefetcher.depth=1",
    "lru:loader=balanced,cache=lru_dp,prefetcher=adaptive_gate",
    "lru:cache=lru_per_layer",
)
BOTH = ("hobbit_shared", "hobbit_cooperative:loader.mode=shared")
HOBBIT = (*BOTH, "hobbit_balanced", *map(packed, BOTH))
"""bf16 and int4, misses on link and host."""
RESIDENT = "all_resident"
ALL_RESIDENT = (RESIDENT, packed(RESIDENT))
PEERS = ("transformers", "accelerate", "policylang", "llama_bench")
SHARES = (0.67, 0.30, 0.03)

MIXTRAL, QWEN = "mixtral", "qwen"


@dataclass(frozen=True, slots=True)
class Case:
    """One model: the words that ask for it, its policies and the engines beside them."""

    words: tuple[str, ...]
    policies: tuple[str, ...]
    peers: tuple[str, ...] = ()


CASES: Mapping[str, Case] = {
    MIXTRAL: Case(
        ("geometry=mixtral_8x7b", "bench.layers=8"),
        (*ALL_RESIDENT, *LOSSLESS, "freetoken", *DEVICE_ONLY, *HOBBIT, "hobbit", "hobbit_lossless"),
        PEERS,
    ),
    QWEN: Case(
        ("geometry=qwen3_30b_a3b", "geometry.experts=64", "bench.layers=24"),
        (*ALL_RESIDENT, *QWEN_LOSSLESS),
    ),
}

Results = Mapping[str, BenchResult]
Found = tuple[float, str] | None
"""A figure and whose it is; None: there is none."""


@dataclass(frozen=True, slots=True)
class Bar:
    """A figure that is to reach `bar`, and better `beyond`."""

    what: str
    bar: float
    beyond: float | None
    unit: str
    find: Callable[[Results], Found]


def best(
    case: str, names: Sequence[str], value: Callable[[PolicyRow], float | None]
) -> Callable[[Results], Found]:
    """The largest value among the rows of these policies."""

    def find(results: Results) -> Found:
        rows = [row for row in results[case].rows if row.policy in names] if case in results else []
        found = [(figure, row.policy) for row in rows if (figure := value(row)) is not None]
        return max(found, default=None)

    return find


def times_faster(peer: str) -> Callable[[Results], Found]:
    """The best lossless decode speed over the peer's."""

    def find(results: Results) -> Found:
        own = best(MIXTRAL, LOSSLESS, decode)(results)
        peers = results[MIXTRAL].peers if MIXTRAL in results else ()
        theirs = next((row for row in peers if row.peer == peer and row.decode_tokens_per_s), None)
        if own is None or theirs is None or not theirs.decode_tokens_per_s:
            return None
        return own[0] / theirs.decode_tokens_per_s, f"{own[1]} against {peer}"

    return find


def decode(row: PolicyRow) -> float:
    """Tokens/s."""
    return row.decode_tokens_per_s


def prefill(row: PolicyRow) -> float:
    """Tokens/s."""
    return row.prefill_tokens_per_s


def efficiency(row: PolicyRow) -> float | None:
    """As docs/benchmarks.md has it."""
    return row.efficiency


def within_budget(results: Results) -> Found:
    """The share of rows whose peak stayed below the budget, where something counts it."""
    rows = [row for result in results.values() for row in result.rows if row.peak_bytes is not None]
    over = [row.policy for row in rows if row.peak_bytes is not None and row.peak_bytes > row.budget]
    if not rows:
        return None
    return 1 - len(over) / len(rows), ", ".join(over) or "all rows"


def shares_near(results: Results) -> Found:
    """1 if HOBBIT's thresholds decide 67 / 30 / 3 within two points."""
    rows = [row for row in results[MIXTRAL].rows if row.policy in HOBBIT] if MIXTRAL in results else []
    for row in rows:
        if row.shares.decided is not None:
            off = max(abs(a - b) for a, b in zip(row.shares.decided, SHARES, strict=True))
            shown = " / ".join(f"{100 * share:.1f}" for share in row.shares.decided)
            return float(off <= 0.02), f"decided {shown}"
    return None


BARS = (
    Bar("lossless decode, half resident", 38, 47, "tok/s", best(MIXTRAL, LOSSLESS, decode)),
    Bar("HOBBIT bf16+int4 cooperative decode, half resident", 50, 63, "tok/s", best(MIXTRAL, HOBBIT, decode)),
    Bar("its thresholds decide 67 / 30 / 3 within 2 points", 1, None, "", shares_near),
    Bar("prefill of 128 tokens, half resident, lossless", 400, 600, "tok/s",
        best(MIXTRAL, (*LOSSLESS, *DEVICE_ONLY), prefill)),
    Bar("efficiency, lossless device-only decode", 0.85, 0.95, "", best(MIXTRAL, DEVICE_ONLY, efficiency)),
    Bar("decode, all resident", 300, None, "tok/s", best(MIXTRAL, ALL_RESIDENT, decode)),
    Bar("lossless decode against MoE-PolicyLang", 20, None, "x", times_faster("policylang")),
    Bar("lossless decode against accelerate", 60, None, "x", times_faster("accelerate")),
    Bar("Qwen3-30B-A3B's shape, half resident, lossless decode", 75, 115, "tok/s",
        best(QWEN, QWEN_LOSSLESS, decode)),
    Bar("Qwen3-30B-A3B's shape, all resident, decode", 200, 390, "tok/s", best(QWEN, ALL_RESIDENT, decode)),
    Bar("device memory within the budget", 1, None, "of rows", within_budget),
)  # fmt: skip
"""Half resident: half of the expert bytes on the device. Batch 1, prompts of 128 tokens."""
