"""What a long run says of itself: plain lines where standard error is no terminal, nothing in the results."""

from __future__ import annotations

import re

import pytest
from rich.console import Console

from hobbit.report import progress_bar
from hobbit.report.byte_progress import ByteProgress
from hobbit.report.grid_progress import GridProgress


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr(progress_bar, "monotonic", lambda: now[0])
    return now


def test_bytes_now_and_then(clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    with ByteProgress("converting", 4 * 10**9) as bar:
        clock[0] += 60
        bar.keep(10**9)  # the minute before is not charged to the rate
        for _ in range(3):
            clock[0] += 5
            bar.advance(25 * 10**7)
    out, err = capsys.readouterr()
    assert not out
    assert err == "converting: 1.5 GB of 4 GB, 50 MB/s, 0.8 minutes left\n"


def test_cells_now_and_then_and_the_last(clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    with GridProgress(total=6, kept=2) as bar:
        for number in range(4):
            clock[0] += 6
            bar.advance(f"cell [{number}]")
    out, err = capsys.readouterr()
    assert not out
    assert err.splitlines() == [
        "4 of 6 cells, 10.0 a minute, 0.2 minutes left: cell [1]",
        "6 of 6 cells, 10.0 a minute, 0.0 minutes left: cell [3]",
    ]


def test_a_bar_on_a_terminal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(
        progress_bar, "Console", lambda stderr: Console(stderr=stderr, force_terminal=True, width=100)
    )
    with GridProgress(total=2, kept=0) as bar:
        bar.advance("first")
        bar.advance("second")
    err = capsys.readouterr().err
    assert re.search(r"second.*2/2", err)
    assert "minutes left" not in err
