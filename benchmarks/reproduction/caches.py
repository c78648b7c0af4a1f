"""Caches: the miss penalty of every policy on the test traces, between LRU and Belady."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from itertools import product

from benchmarks.calibration.layer_overhead import profile
from benchmarks.reproduction import claims
from benchmarks.reproduction.ceiling import Requests, least_misses
from benchmarks.reproduction.claims import NAMES, ORIN, RTX4090
from benchmarks.reproduction.figures import Outcome
from benchmarks.reproduction.row import Row
from benchmarks.reproduction.runs import CONTEXT, Outcomes, Run, replayed, total
from benchmarks.reproduction.section import Section, Table
from hobbit.api import Context
from hobbit.config.compose import compose
from hobbit.trace.bundled import DOMAINS

TEXT = """\
Miss penalty a decoded token under HOBBIT's loader without prefetching, on whole test traces of Mixtral's
shape: a high miss counts 1, a low miss B_low / B_high. Weights are tuned on the train traces alone
(benchmarks.tuning.cache_weights). All policies have one global pool for each precision, the same split and
sequence-level records, unless the row says otherwise. The gap is that from LRU to Belady on each precision's
slots, for the very requests that LRU's run made: 100 % would be Belady."""

SHARES = (0.125, 0.25, 0.5)
"""Of the expert bytes at Orin's high precision."""

LRU, LRU_PER_LAYER = "LRU", "LRU, slots per layer"
LFU, LFU_OF_MODEL = "LFU", "LFU, model-level records"
TUNED = "multidimensional, tuned"

POLICIES = {
    LRU: ("cache=lru", "cache.per_layer=false"),
    LRU_PER_LAYER: ("cache=lru", "cache.per_layer=true"),
    LFU: ("cache=lfu",),
    LFU_OF_MODEL: ("cache=lfu", "records=model"),
    "LHU": ("cache=multidim", "cache.w_lru=0", "cache.w_lfu=0", "cache.w_lhu=1", "cache.w_fld=0"),
    "FLD": ("cache=multidim", "cache.w_lru=0", "cache.w_lfu=0", "cache.w_lhu=0", "cache.w_fld=1"),
    "LCU (MoE-APEX)": ("cache=lcu",),
    "multidimensional, equal weights": ("cache=multidim",),
    "multidimensional, H of high uses in both caches": ("cache=multidim_tuned", "cache.own_level=false"),
    TUNED: ("cache=multidim_tuned",),
    "multidimensional, tuned, model-level records": ("cache=multidim_tuned", "records=model"),
}

Place = tuple[str, tuple[str, ...]]
Penalties = Mapping[tuple[str, str, str], float]
"""By policy, place and domain."""


@cache
def _orin() -> Context:
    _, context = profile(ORIN)
    return context


def memory_of(share: float) -> str:
    """The word that gives just the memory for this share of the experts at Orin's high precision."""
    geometry, blob = _orin().geometry, _orin().blob_bytes[0]
    experts = int(share * geometry.layers * geometry.experts * blob)
    return f"memory.device={geometry.non_expert_bytes + CONTEXT * geometry.kv_bytes_per_token + experts}"


PLACES: Mapping[str, Place] = {NAMES[device]: (device, ()) for device in (ORIN, RTX4090)} | {
    f"{100 * share:g} % of the expert bytes": (ORIN, (memory_of(share),)) for share in SHARES
}
"""Device and words of each capacity, by name."""


def run_of(name: str, place: str, domain: str) -> Run:
    """A policy at one capacity on one domain's test trace."""
    device, words = PLACES[place]
    return Run(("policy=hobbit_no_prefetch", *POLICIES[name], *words), device, traces=(domain,))


def runs() -> list[Run]:
    """Every policy at every capacity on every domain."""
    return [run_of(*case) for case in product(POLICIES, PLACES, DOMAINS)]


def ceilings() -> dict[Run, float]:
    """Penalty a decoded token of Belady on the requests of LRU's runs."""
    wanted = [run_of(LRU, *case) for case in product(PLACES, DOMAINS)]
    with ProcessPoolExecutor() as workers:
        return dict(zip(wanted, workers.map(ceiling, wanted), strict=True))


def ceiling(run: Run) -> float:
    """The same of one run."""
    requests = Requests(compose([]).geometry.experts)
    assembly = replayed(run, requests)
    sizes, slots = assembly.context.blob_bytes, assembly.plan.slots
    misses = map(least_misses, requests.levels, slots)
    cost = sum(count * size / sizes[0] for count, size in zip(misses, sizes, strict=True))
    return cost / assembly.metrics.decode.tokens


def section(outcomes: Outcomes, least: Mapping[Run, float]) -> Section:
    """The papers' figures domain by domain, at the devices' capacities; below them every policy."""
    table = {case: _penalty(outcomes[run_of(*case)]) for case in product(POLICIES, PLACES, DOMAINS)}
    rows = [*_claims(table, outcomes), *_records(outcomes)]
    tables = tuple(_table(place, table, least) for place in PLACES)
    return Section("Cache policies", TEXT, tuple(rows), tables)


def _penalty(outcome: Outcome) -> float:
    return outcome.decode.penalty / outcome.decode.tokens


def _claims(table: Penalties, outcomes: Outcomes) -> Iterator[Row]:
    rivals = ((LRU, claims.UNDER_LRU), (LRU_PER_LAYER, claims.UNDER_LRU), (LFU, claims.UNDER_LFU))
    for device, (rival, claim), domain in product((ORIN, RTX4090), rivals, DOMAINS):
        place = NAMES[device]
        ours, theirs = table[TUNED, place, domain], table[rival, place, domain]
        old, new = (outcomes[run_of(name, place, domain)].decode.hit_ratio for name in (rival, TUNED))
        because = (
            f"{theirs:.2f} high misses a token become {ours:.2f}, {100 * old:.1f} % hits {100 * new:.1f} %."
        )
        where = f"{place}, {domain}{', slots per layer' if rival == LRU_PER_LAYER else ''}"
        yield Row.of(claim, 1 - ours / theirs, because, where)


def _records(outcomes: Outcomes) -> Iterator[Row]:
    for device in (ORIN, RTX4090):
        sequence, model = (
            100
            * total(outcomes, [run_of(name, NAMES[device], domain) for domain in DOMAINS]).decode.hit_ratio
            for name in (LFU, LFU_OF_MODEL)
        )
        because = f"{sequence:.1f} % hit with records of the sequence, {model:.1f} % with those of the model."
        yield Row.of(claims.SEQUENCE_RECORDS, sequence / model - 1, because, NAMES[device])


def _table(place: str, table: Penalties, least: Mapping[Run, float]) -> Table:
    columns = product(DOMAINS, ("penalty", "below LFU", "of the gap"))
    rows: list[tuple[str, ...]] = [("policy", *map(" ".join, columns))]
    floors = {domain: least[run_of(LRU, place, domain)] for domain in DOMAINS}
    for name in POLICIES:
        cells: list[str] = []
        for domain in DOMAINS:
            penalty, lru, lfu = (table[n, place, domain] for n in (name, LRU, LFU))
            closed = f"{100 * (lru - penalty) / (lru - floors[domain]):.0f} %"
            cells += [f"{penalty:.2f}", f"{100 * (1 - penalty / lfu):+.1f} %", closed]
        rows.append((name, *cells))
    bound = (cell for domain in DOMAINS for cell in (f"{floors[domain]:.2f}", "", "100 %"))
    return Table(f"Penalty a token at {place}", (*rows, ("Belady on LRU's requests", *bound)))
