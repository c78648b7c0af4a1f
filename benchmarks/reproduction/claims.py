"""The papers' figures, as typed data. HOBBIT: arXiv 2411.01433, section 5; MoE-APEX: ASPLOS 2026."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

HOBBIT = "HOBBIT"
APEX = "MoE-APEX"

MIXTRAL = "mixtral_8x7b"
PHI = "phi_moe"
ORIN = "orin"
RTX4090 = "rtx4090"

NAMES = {
    MIXTRAL: "Mixtral",
    PHI: "Phi-MoE",
    ORIN: "Orin",
    RTX4090: "4090",
    "llama_cpp": "llama.cpp",
    "moe_infinity": "MoE-Infinity",
    "mixtral_offloading": "MoE-Offloading",
    "fiddler": "Fiddler",
    "adapmoe": "AdapMoE",
    "hobbit": "HOBBIT",
    "hobbit_cooperative": "HOBBIT with the CPU",
    "moe_apex": "MoE-APEX",
}
"""What the papers call devices, models and systems."""


class Unit(Enum):
    """How a figure is written, and compared with ours: changes as what is left of the whole."""

    times = "times"
    rate = "tokens per second"
    share = "share"
    change = "change"
    correlation = "correlation"


@dataclass(frozen=True, slots=True)
class Claim:
    """A published figure, or the ends of a range of them. Shares and changes are fractions.

    `fitted`: our simulator or thresholds were set so as to meet it, so that agreement proves nothing.
    """

    what: str
    unit: Unit
    low: float
    high: float
    source: str = HOBBIT
    fitted: bool = False


@dataclass(frozen=True, slots=True)
class Rivalry:
    """`policy` against `baseline`: times the decode speed, and the change of prefill latency if known."""

    device: str
    geometry: str
    policy: str
    baseline: str
    decode: float
    prefill: float | None
    source: str = HOBBIT

    @property
    def what(self) -> str:
        """Where, and who against whom."""
        place = f"{NAMES[self.geometry]}, {NAMES[self.device]}"
        return f"{place}: {NAMES[self.policy]} against {NAMES[self.baseline]}"


RIVALRIES = (
    Rivalry(ORIN, MIXTRAL, "hobbit", "llama_cpp", 13.0, -0.79),
    Rivalry(ORIN, MIXTRAL, "hobbit", "moe_infinity", 3.64, -0.60),
    Rivalry(ORIN, PHI, "hobbit", "llama_cpp", 18.9, -0.80),
    Rivalry(ORIN, PHI, "hobbit", "moe_infinity", 9.93, -0.72),
    Rivalry(RTX4090, MIXTRAL, "hobbit", "mixtral_offloading", 3.21, -0.51),
    Rivalry(RTX4090, MIXTRAL, "hobbit", "moe_infinity", 2.30, -0.14),
    Rivalry(RTX4090, PHI, "hobbit", "mixtral_offloading", 3.29, -0.54),
    Rivalry(RTX4090, PHI, "hobbit", "moe_infinity", 3.92, -0.29),
    Rivalry(RTX4090, MIXTRAL, "hobbit_cooperative", "llama_cpp", 1.31, -0.25),
    Rivalry(RTX4090, MIXTRAL, "hobbit_cooperative", "fiddler", 0.99, -0.42),
    Rivalry(RTX4090, PHI, "hobbit_cooperative", "llama_cpp", 1.42, -0.40),
    Rivalry(RTX4090, PHI, "hobbit_cooperative", "fiddler", 1.46, -0.85),
    Rivalry(RTX4090, MIXTRAL, "moe_apex", "adapmoe", 1.34, None, APEX),
    Rivalry(RTX4090, PHI, "moe_apex", "adapmoe", 1.59, None, APEX),
)

DYNAMIC_LOADING = Claim("dynamic loading alone: decode speed", Unit.times, 1.19, 1.57)
PREFETCH_PREFILL = Claim("prefetching alone, 4090: prefill latency", Unit.change, -0.10, -0.10)
PREFETCH_HIGH = Claim("prefetching alone, 4090, high precision only: decode speed", Unit.times, 1.01, 1.01)
PREFETCH_MIXED = Claim("prefetching beside dynamic loading, 4090: decode speed", Unit.times, 1.05, 1.05)
PREFETCH_APEX = Claim("MoE-APEX's prefetching, 4090: decode speed", Unit.times, 1.10, 1.15, APEX)
UNDER_LRU = Claim("miss penalty below LRU's", Unit.share, 0.0469, 0.0868)
UNDER_LFU = Claim("miss penalty below LFU's", Unit.share, 0.0213, 0.0419)
SEQUENCE_RECORDS = Claim("LFU's hit ratio: sequence-level records over model-level", Unit.share, 0.045, 0.045)
AHEAD = tuple(
    Claim(f"first choice of layer l + {distance} predicted at layer l", Unit.share, accuracy, accuracy)
    for distance, accuracy in ((1, 0.96), (2, 0.90), (3, 0.90))
)
LOADING = {
    device: Claim(f"loading share of a Mixtral layer, {NAMES[device]}", Unit.share, share, share, fitted=True)
    for device, share in ((RTX4090, 0.855), (ORIN, 0.945))
}
DECIDED = tuple(
    Claim(f"selections that are to be {what}", Unit.share, share, share, fitted=True)
    for what, share in (("high", 0.67), ("low", 0.30), ("skipped", 0.03))
)
NORM = Claim("gate weight and norm of the expert's output: Pearson's r", Unit.correlation, 0.99, 0.99)
SKIPPING = Claim("10 % of selections skipped: perplexity", Unit.change, 0.01, 1.0)
REPLACING = Claim("20 % of selections at int4: perplexity", Unit.change, -1.0, 0.01)
APEX_RATES = {
    geometry: Claim(f"MoE-APEX, {name}: decode speed (device not named)", Unit.rate, rate, rate, APEX)
    for geometry, name, rate in ((MIXTRAL, "Mixtral", 2.26), (PHI, "Phi-MoE", 6.1))
}
