"""Cells survive the way to a file and back, half-written lines and newer versions included."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from hobbit.api import Effect
from hobbit.report.cell import Cell, CellQuality, append_cell, mend, read_cells
from hobbit.report.measures import Measures

MEASURES = Measures(
    simulated=True, prefill_tokens=16, prefill_s=1.5, decode_tokens=32, decode_tokens_per_s=0.8,
    hit_ratio=0.9, hit_ratios=(0.9, 0.5), served=(0.8, 0.2), skipped=0.0, hosted=0.0, bytes_per_token=3.6e9,
    loads=100, miss_penalty=50.0, prefetch_use=None, stall_share=0.8, transfer_stream="disk",
    transfer_utilisation=0.9,
)  # fmt: skip
CELL = Cell(
    version="0.1.0", key="k1", policy="hobbit", device="orin", geometry="mixtral_8x7b", workload="paper",
    effect=Effect.QUALITY, lossless=False, prompt_tokens=16, decode_tokens=32,
    precisions=("int8", "int2"), slots=(120, 25), measures=MEASURES,
    quality=CellQuality(96, 0.01, 0.1, 0.95, 9.4, 9.1, 0.002), notes=("a note",), seconds=1.25,
)  # fmt: skip


def write(path: Path, *cells: Cell) -> None:
    with path.open("ab") as file:
        for cell in cells:
            append_cell(file, cell)


def test_cells_come_back_as_they_were(tmp_path: Path) -> None:
    failed = Cell("0.1.0", "k2", "lru", "orin", "mixtral_8x7b", "paper", error="4 GB are missing")
    write(tmp_path / "r.jsonl", CELL, failed)
    assert read_cells(tmp_path / "r.jsonl") == [CELL, failed]


def test_a_half_written_line_costs_that_cell_alone(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    write(path, CELL, replace(CELL, key="k2"))
    path.write_bytes(path.read_bytes()[:-20])
    assert read_cells(path) == [CELL]
    mend(path)
    write(path, replace(CELL, key="k3"))
    assert [cell.key for cell in read_cells(path)] == ["k1", "k3"]


def test_lines_that_are_no_cells_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    path.write_bytes(b'[]\n{"policy": 3}\n\xff\xfe\nnull\n\n')
    write(path, CELL)
    assert read_cells(path) == [CELL]


def test_the_last_cell_of_a_key_counts(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    write(path, CELL, replace(CELL, seconds=2.0))
    assert [cell.seconds for cell in read_cells(path)] == [2.0]


def test_keys_of_a_newer_version_are_ignored() -> None:
    values = CELL.to_json() | {"colour": "green"}
    assert Cell.from_json(json.loads(json.dumps(values))) == CELL
