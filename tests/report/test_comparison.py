"""The rows of a comparison, and what its tables must say."""

from __future__ import annotations

import io
import json
from dataclasses import fields, replace
from pathlib import Path

import pytest
from rich.console import Console

from hobbit.report.cell import Cell
from hobbit.report.comparison import boards, by_lengths, failures
from hobbit.report.comparison_tables import comparison_json, comparison_markdown, print_comparison
from tests.report.test_cell import CELL, MEASURES

PAGE = (Path(__file__).parents[2] / "docs" / "compare.md").read_text(encoding="utf-8")


def cell(policy: str, speed: float, tokens: int = 32, **others: object) -> Cell:
    """A lossless cell of that decode speed over so many tokens."""
    measures = replace(MEASURES, decode_tokens_per_s=speed, decode_tokens=tokens)
    values = {"lossless": True, "quality": None, "decode_tokens": tokens, **others}
    key = f"{policy}{tokens}"
    return replace(CELL, policy=policy, key=key, measures=measures, **values)  # type: ignore[arg-type]


def text(*cells: Cell) -> str:
    """The tables on an 80 column terminal."""
    file = io.StringIO()
    print_comparison(cells, Console(file=file, width=80))
    return file.getvalue()


def test_speeds_are_all_tokens_over_all_seconds_and_speed_ups_over_on_demand() -> None:
    cells = [
        cell("on_demand", 1.0, 30),
        cell("on_demand", 2.0, 60),
        cell("lru", 3.0, 30),
        cell("lru", 3.0, 60),
    ]
    (board,) = boards(cells)
    lru, on_demand = board.rows  # the fastest first
    assert (lru.policy, lru.pairs, lru.decode_tokens_per_s, lru.speed_up) == ("lru", 2, 3.0, 2.0)
    assert (on_demand.decode_tokens_per_s, on_demand.speed_up) == (1.5, 1.0)
    assert [(decode, len(found[0].rows)) for _, decode, found in by_lengths(cells)] == [(30, 2), (60, 2)]


def test_a_policy_that_lacks_lengths_is_compared_on_those_it_has() -> None:
    cells = [cell("on_demand", 1.0, 30), cell("on_demand", 4.0, 60), cell("lru", 2.0, 30)]
    rows = {row.policy: row for row in boards(cells)[0].rows}
    assert rows["lru"].speed_up == 2.0


def test_every_table_names_its_clock_and_marks_lossy_and_synthetic_rows() -> None:
    lossy, synthetic = CELL, cell("lru", 1.0, geometry="phi_moe", synthetic=True)
    for words in (text(lossy, synthetic), comparison_markdown([lossy, synthetic])):
        titles = [line for line in words.splitlines() if "orin, " in line]
        assert titles and all("simulated clock" in title for title in titles)
        assert "hobbit ~" in words and "lru *" in words and "synthetic routing" in words


def test_a_row_at_another_precision_says_so() -> None:
    cells = [cell("lru", 1.0), cell("lfu", 1.0), cell("edgemoe", 2.0, precisions=("int4",))]
    assert "edgemoe at int4" in text(*cells)


def test_failures_are_listed_once_for_all_lengths() -> None:
    cells = [
        cell("lru", 1.0),
        *(replace(cell("lfu", 1.0, n), measures=None, error="4 GB are missing") for n in (8, 9)),
    ]
    assert failures(cells) == ["lfu on orin with mixtral_8x7b (16+8, 16+9): 4 GB are missing"]
    assert "not measured: lfu on orin" in text(*cells) and "## Not measured" in comparison_markdown(cells)


def test_a_note_is_told_once_with_all_it_is_about() -> None:
    page = comparison_markdown([cell("lru", 1.0), cell("lfu", 1.0), cell("lfu", 1.0, 60)])
    about = "lru on orin with mixtral_8x7b, lfu on orin with mixtral_8x7b"
    assert f"## Notes\n\n* {about}: a note\n" in page


def test_tables_fit_80_columns() -> None:
    policies = ("hobbit_no_prefetch", "mixtral_offloading", "on_demand")
    table = text(*(cell(name, 0.251, lossless=False) for name in policies)).splitlines()[1:6]
    assert max(map(len, table)) <= 80


def test_json_holds_rows_and_cells() -> None:
    found = json.loads(comparison_json([CELL]))
    assert (found["format"], found["version"]) == ("hobbit-comparison", 1)
    assert Cell.from_json(found["cells"][0]) == CELL
    assert found["boards"][0]["rows"][0]["mean_kl"] == 0.01


@pytest.mark.parametrize("name", [option.name for option in fields(Cell)])
def test_every_key_is_documented(name: str) -> None:
    assert f"`{name}`" in PAGE
