"""Tables: units that fit, names that are whole."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from rich.console import Console

from hobbit.report.measures import Measures
from hobbit.report.tables import measures_table, replays_table

RUN = Measures(
    simulated=True,
    prefill_tokens=15,
    prefill_s=12.6,
    decode_tokens=100,
    decode_tokens_per_s=2.0,
    hit_ratio=1.0,
    hit_ratios=(1.0, 0.881),
    served=(0.83, 0.131),
    skipped=0.039,
    hosted=0.0,
    bytes_per_token=2.84e9,
    loads=7,
    miss_penalty=3.0,
    prefetch_use=None,
    stall_share=1.0,
    transfer_stream="disk",
    transfer_utilisation=1.0,
)


def shown(table: object) -> str:
    console = Console(file=io.StringIO(), width=80)
    console.print(table)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_the_widest_rows_fit_80_columns() -> None:
    text = shown(replays_table({"hobbit_cooperative": RUN, "lru": RUN}, RUN, {"routing": "synthetic"}))
    assert "…" not in text and max(map(len, text.splitlines())) <= 80
    assert "hobbit_cooperative" in text


@pytest.mark.parametrize(
    ("nbytes", "unit"), [(2.8e9, "GB per"), (5e7, "MB per"), (2e4, "kB per"), (0.0, "B per")]
)
def test_the_unit_follows_the_largest_value(nbytes: float, unit: str) -> None:
    assert f" {unit}" in shown(replays_table({"a": replace(RUN, bytes_per_token=nbytes)}, RUN))


def test_speed_ups_are_those_of_the_run() -> None:
    text = shown(replays_table({"slow": replace(RUN, decode_tokens_per_s=0.5)}, RUN))
    assert "4.00x" in text
    assert "n/a" in shown(replays_table({"none": replace(RUN, decode_tokens_per_s=0.0)}, RUN))


def test_precisions_have_rows_of_their_own() -> None:
    text = shown(measures_table(RUN, ("int8", "int2")))
    for row in ("  at int2", "selections served at int8", "13.1 %"):
        assert row in text
    assert "prefetched" not in text
