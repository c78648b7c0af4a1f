"""Speeds: HOBBIT and MoE-APEX against every baseline of their papers, decode and prefill."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.reproduction.claims import APEX_RATES, NAMES, PHI, RIVALRIES, RTX4090, Claim, Rivalry, Unit
from benchmarks.reproduction.figures import Outcome
from benchmarks.reproduction.reasons import faster, prefilled, rated
from benchmarks.reproduction.row import Row
from benchmarks.reproduction.runs import WORKLOAD, Outcomes, Run, policy, total
from benchmarks.reproduction.section import Section, Table

TEXT = """\
Time to decode (and to prefill) the whole workload, the baseline's over HOBBIT's: prompts of 16 and 128 tokens
with 32 and 128 generated, one of each from the test traces of books, code and maths, batch 1, cold caches.
All presets of a comparison have the device's high precision (int8 on Orin, 16 bits on the 4090), the same
expert memory and the same KV reserve. Prefill is a change of latency; its ratio is that of what remains."""


def runs() -> list[Run]:
    """Every policy where a paper has it."""
    pairs = [(r.device, r.geometry, name) for r in RIVALRIES for name in (r.policy, r.baseline)]
    return [run for device, geometry, name in pairs for run in policy(name, device, geometry)]


def section(outcomes: Outcomes) -> Section:
    """All rivalries; below them what each policy did, workload by workload."""
    rows = [row for rivalry in RIVALRIES for row in _rows(rivalry, outcomes)]
    rows += [_absolute(geometry, claim, outcomes) for geometry, claim in APEX_RATES.items()]
    return Section("Decode and prefill against the baselines", TEXT, tuple(rows), tuple(_tables(outcomes)))


def _rows(rivalry: Rivalry, outcomes: Outcomes) -> Iterator[Row]:
    ours, base = (
        total(outcomes, policy(name, rivalry.device, rivalry.geometry))
        for name in (rivalry.policy, rivalry.baseline)
    )
    error = _missing(ours, rivalry.policy) or _missing(base, rivalry.baseline)
    synthetic = rivalry.geometry == PHI
    claim = Claim(f"{rivalry.what}: decode", Unit.times, rivalry.decode, rivalry.decode, rivalry.source)
    speedup = None if error else base.decode.seconds / ours.decode.seconds
    names = NAMES[rivalry.policy], NAMES[rivalry.baseline]
    because = error or faster(names, ours.decode, base.decode, rivalry.decode)
    yield Row.of(claim, speedup, because, synthetic=synthetic)
    if rivalry.prefill is not None:
        published = rivalry.prefill
        claim = Claim(f"{rivalry.what}: prefill", Unit.change, published, published, rivalry.source)
        change = None if error else ours.prefill.seconds / base.prefill.seconds - 1
        because = error or prefilled(names, ours.prefill, base.prefill)
        yield Row.of(claim, change, because, synthetic=synthetic)


def _absolute(geometry: str, claim: Claim, outcomes: Outcomes) -> Row:
    ours = total(outcomes, policy("moe_apex", RTX4090, geometry))
    rate = None if ours.error else ours.decode.rate
    because = ours.error or rated(ours.decode, claim.low)
    return Row.of(claim, rate, because, "ours on the 4090", geometry == PHI)


def _missing(outcome: Outcome, name: str) -> str:
    return outcome.error and f"{name} did not run: {outcome.error.partition(';')[0]}."


def _tables(outcomes: Outcomes) -> Iterator[Table]:
    places = sorted({(r.device, r.geometry) for r in RIVALRIES})
    for device, geometry in places:
        here = [r for r in RIVALRIES if (r.device, r.geometry) == (device, geometry)]
        names = dict.fromkeys(n for r in here for n in (r.policy, r.baseline))
        mark = ", synthetic routing" if geometry == PHI else ""
        rows = [_cells(name, policy(name, device, geometry), outcomes) for name in names]
        yield Table(f"{NAMES[geometry]} on simulated {NAMES[device]}{mark}", (_HEAD, *rows))


_HEAD = (
    "preset", *(f"[{p}, {d}] tok/s" for p, d in WORKLOAD), "prefill s", "hits %", "GB/token", "stall %",
    "on the CPU %", "slots",
)  # fmt: skip


def _cells(name: str, mine: list[Run], outcomes: Outcomes) -> tuple[str, ...]:
    whole = total(outcomes, mine)
    if whole.error:
        return (name, *("n/a" for _ in _HEAD[1:]))
    decode = whole.decode
    return (
        f"`{name}`",
        *(f"{outcomes[run].decode.rate:.3g}" for run in mine),
        f"{whole.prefill.seconds:.3g}",
        f"{100 * decode.hit_ratio:.1f}",
        f"{decode.nbytes / decode.tokens / 1e9:.3g}",
        f"{100 * decode.stall / decode.seconds:.1f}",
        f"{100 * decode.hosted / decode.selections:.1f}",
        " + ".join(map(str, whole.slots)),
    )
