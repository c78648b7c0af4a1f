"""The reproduction page is what its JSON says, holds every claim, and explains what differs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.reproduction import caches, claims, speeds, techniques
from benchmarks.reproduction.__main__ import DATA, PAGE
from benchmarks.reproduction.ceiling import least_misses
from benchmarks.reproduction.claims import Claim, Unit
from benchmarks.reproduction.page import render
from benchmarks.reproduction.reasons import faster
from benchmarks.reproduction.results import Results
from benchmarks.reproduction.row import Row
from benchmarks.reproduction.runs import Figures, Run, measure_run
from hobbit.config.workload import Lengths

RESULTS = Results.read(DATA)
ROWS = [row for section in RESULTS.sections for row in section.rows]


def test_the_page_is_made_of_its_json() -> None:
    assert render(RESULTS) == PAGE.read_text(encoding="utf-8"), (
        "run `python -m benchmarks.reproduction --page`"
    )


def test_results_are_read_as_they_were_written(tmp_path) -> None:  # type: ignore[no-untyped-def]
    RESULTS.write(tmp_path / "again.json")
    assert Results.read(tmp_path / "again.json") == RESULTS


@pytest.mark.parametrize("rivalry", claims.RIVALRIES, ids=lambda rivalry: rivalry.what)
def test_every_rivalry_has_its_rows(rivalry: claims.Rivalry) -> None:
    found = {row.what: row.low for row in ROWS}
    assert found[f"{rivalry.what}: decode"] == rivalry.decode
    assert found.get(f"{rivalry.what}: prefill") == rivalry.prefill


def test_every_other_claim_has_a_row() -> None:
    single = [claim for claim in vars(claims).values() if isinstance(claim, Claim)]
    grouped = [*claims.AHEAD, *claims.DECIDED, *claims.LOADING.values(), *claims.APEX_RATES.values()]
    for claim in (*single, *grouped):
        assert any(row.what.startswith(claim.what) and row.fitted == claim.fitted for row in ROWS), claim.what


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.what)
def test_what_differs_or_is_missing_is_explained_by_figures(row: Row) -> None:
    if row.ours is None:
        assert row.because
    elif row.differs:
        assert any(character.isdigit() for character in row.because)


def test_generated_routing_is_marked() -> None:
    assert all(row.synthetic == ("Phi-MoE" in row.what) for row in ROWS)


def test_every_run_that_is_compared_is_listed() -> None:
    listed = {
        (tuple(r["words"]), r["device"], r["geometry"], tuple(r["lengths"] or ())) for r in RESULTS.runs
    }
    for run in (*speeds.runs(), *techniques.runs(), *caches.runs()):
        assert (run.words, run.device, run.geometry, tuple(run.lengths or ())) in listed


@pytest.mark.parametrize(
    ("unit", "low", "high", "ours", "ratio"),
    [
        (Unit.times, 2.0, 2.0, 3.0, 1.5),
        (Unit.times, 1.2, 1.6, 1.4, 1.0),
        (Unit.times, 1.2, 1.6, 0.6, 0.5),
        (Unit.change, -0.5, -0.5, 0.0, 2.0),
    ],
)
def test_a_ratio_is_to_the_nearest_end(
    unit: Unit, low: float, high: float, ours: float, ratio: float
) -> None:
    row = Row.of(Claim("it", unit, low, high), ours, "for 3 reasons")
    assert row.ratio == pytest.approx(ratio)
    assert row.because == ("" if ratio == 1 else "for 3 reasons")


def test_a_reason_says_what_a_ratio_would_take() -> None:
    base = Figures(tokens=10, seconds=10.0, stall=9.0, nbytes=10**9, hits=1, misses=9)
    ours = Figures(tokens=10, seconds=5.0, stall=4.0, nbytes=10**9, hits=5, misses=5)
    names = "ours", "base"
    assert "100 ms cap the ratio at 10.00x" in faster(names, ours, base, 13.0)
    assert "4x leaves it 150 ms to wait" in faster(names, ours, base, 4.0)
    assert "at 1.5x base would wait 650 ms" in faster(names, ours, base, 1.5)


@given(st.lists(st.integers(0, 4), max_size=12), st.integers(1, 3))
def test_the_ceiling_is_the_least_that_any_eviction_reaches(stream: list[int], slots: int) -> None:
    assert least_misses([(expert, True) for expert in stream], slots) == _brute(
        tuple(stream), frozenset(), slots
    )


def _brute(stream: tuple[int, ...], resident: frozenset[int], slots: int) -> int:
    if not stream:
        return 0
    expert, rest = stream[0], stream[1:]
    if expert in resident:
        return _brute(rest, resident, slots)
    if len(resident) < slots:
        return 1 + _brute(rest, resident | {expert}, slots)
    return 1 + min(_brute(rest, resident - {victim} | {expert}, slots) for victim in resident)


def test_prompts_warm_the_ceiling_but_do_not_count() -> None:
    assert least_misses([(0, False), (0, True), (1, True)], 2) == 1


def test_a_run_has_figures_and_a_missing_preset_says_so() -> None:
    run = Run(("policy=lru",), "orin", lengths=Lengths(4, 4), traces=("books",))
    outcome = measure_run(run)
    assert not outcome.error and outcome.decode.tokens == 4
    assert outcome.decode.seconds > outcome.decode.stall > 0
    assert "no policy is called 'nobody'" in measure_run(Run(("policy=nobody",), "orin")).error
