"""Techniques: each of HOBBIT's three alone, on and off."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks.reproduction import claims
from benchmarks.reproduction.claims import MIXTRAL, NAMES, ORIN, PHI, RTX4090, Claim, Unit
from benchmarks.reproduction.reasons import spent
from benchmarks.reproduction.row import Row
from benchmarks.reproduction.runs import Outcomes, Run, policy, total
from benchmarks.reproduction.section import Section

TEXT = """\
The same workload with one technique changed and nothing else. Dynamic loading alone is measured over demand
loading, both without prefetching, once with LRU and once with HOBBIT's own cache; prefetching looks three
layers ahead (MoE-APEX: four)."""

Words = tuple[str, ...]

PLAIN: Words = ("hobbit_no_prefetch", "loader=on_demand")


@dataclass(frozen=True)
class Technique:
    """`on` against `off`: a preset and words that set its options; `where` tells it from its likes."""

    claim: Claim
    on: Words
    off: Words
    device: str
    geometry: str
    where: str


def _techniques() -> Iterator[Technique]:
    for geometry in (MIXTRAL, PHI):
        name = NAMES[geometry]
        for device in (ORIN, RTX4090):
            for cache, label in (("lru", "LRU"), ("multidim_tuned", "own cache")):
                on, off = ("hobbit_no_prefetch", f"cache={cache}"), (*PLAIN, f"cache={cache}")
                yield Technique(
                    claims.DYNAMIC_LOADING, on, off, device, geometry,
                    f"{name}, {NAMES[device]}, {label}",
                )  # fmt: skip
        high = Technique(claims.PREFETCH_HIGH, ("hobbit", "loader=on_demand"), PLAIN, RTX4090, geometry, name)
        yield high
        yield Technique(claims.PREFETCH_PREFILL, high.on, high.off, RTX4090, geometry, name)
        yield Technique(claims.PREFETCH_MIXED, ("hobbit",), ("hobbit_no_prefetch",), RTX4090, geometry, name)
        apex = ("moe_apex",)
        yield Technique(claims.PREFETCH_APEX, apex, (*apex, "prefetcher=none"), RTX4090, geometry, name)


TECHNIQUES = tuple(_techniques())


def runs() -> list[Run]:
    """Both sides of every technique."""
    return [run for technique in TECHNIQUES for side in _sides(technique) for run in side]


def section(outcomes: Outcomes) -> Section:
    """One row a technique and place."""
    rows = [_row(technique, outcomes) for technique in TECHNIQUES]
    return Section("The techniques one by one", TEXT, tuple(rows))


def _sides(technique: Technique) -> list[list[Run]]:
    place = technique.device, technique.geometry
    return [policy(name, *place, *words) for name, *words in (technique.on, technique.off)]


def _row(technique: Technique, outcomes: Outcomes) -> Row:
    on, off = (total(outcomes, side) for side in _sides(technique))
    synthetic = technique.geometry == PHI
    if on.error or off.error:
        return Row.of(technique.claim, None, on.error or off.error, technique.where, synthetic)
    if technique.claim.unit is Unit.change:
        fast, slow = on.prefill, off.prefill
        ours = fast.seconds / slow.seconds - 1
    else:
        fast, slow = on.decode, off.decode
        ours = slow.seconds / fast.seconds
    because = f"Without it a run {spent(slow)}; with it, it {spent(fast)}."
    return Row.of(technique.claim, ours, because, technique.where, synthetic)
