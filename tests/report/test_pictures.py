"""Pictures: legible, labelled, the same every time; and what is in them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hobbit.errors import ConfigError
from hobbit.report.cell import Cell
from hobbit.report.comparison import boards
from hobbit.report.html.gathered import png_texts
from hobbit.report.pictures import Picture, draw_all, pictures_of
from hobbit.report.pictures.front import Point, pareto_front
from hobbit.report.pictures.labels import spread
from hobbit.report.pictures.pareto import pareto
from hobbit.report.pictures.speed_bars import bars_end, baseline, speed_bars
from tests.report.legible import assert_legible, shown, words
from tests.report.test_cell import CELL, MEASURES

SPEEDS = {"on_demand": 0.25, "lru": 0.61, "lfu": 0.61, "hobbit_lossless": 0.62, "mixtral_offloading": 0.6}


def cell(policy: str, speed: float, kl: float | None = None, **others: object) -> Cell:
    """A cell of that speed; without a KL it is lossless."""
    measures = replace(MEASURES, decode_tokens_per_s=speed)
    quality = None if kl is None or CELL.quality is None else replace(CELL.quality, mean_kl=kl)
    known = replace(CELL, policy=policy, key=policy, measures=measures, quality=quality, lossless=kl is None)
    return replace(known, **others)  # type: ignore[arg-type]


LOSSLESS = [cell(policy, speed) for policy, speed in SPEEDS.items()]
LOSSY = [
    cell("hobbit", 0.87, 0.006),
    cell("moe_apex", 0.86, 0.0061),
    cell("hobbit_lru", 0.8, 0.0059),
    cell("hobbit_no_prefetch", 0.865, 0.0075),
    cell("hobbit_cooperative", 0.87, 0.008),
    cell("dynaexq", 2.0, 1.0),
]
BOUNDS = [cell("belady", 1.4), cell("all_resident", 9.0)]
CELLS = [*LOSSLESS, *LOSSY, *BOUNDS]


@pytest.fixture(params=["speed_bars", "pareto"])
def picture(request: pytest.FixtureRequest) -> Picture:
    make: Callable[..., Picture | None] = {"speed_bars": speed_bars, "pareto": pareto}[request.param]
    made = make(boards(CELLS)[0], ["n/a: dull on orin: 4 GB are missing"])
    assert made is not None
    return made


def test_labels_are_legible_and_all_there(picture: Picture) -> None:
    figure = shown(picture)
    assert_legible(figure)
    for cell_ in (*LOSSLESS, *LOSSY):
        assert cell_.policy in words(figure)


def test_the_captions_say_whose_clock_device_and_geometry(picture: Picture) -> None:
    seen = words(shown(picture))
    for part in ("simulated clock", "device orin", "geometry mixtral_8x7b", "n/a: dull on orin"):
        assert part in seen
    assert "SYNTHETIC" not in seen


@pytest.mark.parametrize("kind", ["png", "svg"])
def test_the_same_picture_is_the_same_file(kind: str) -> None:
    (bars, _) = pictures_of([LOSSLESS[0], LOSSY[0]])
    assert bars.render(kind) == bars.render(kind)


def test_a_file_says_what_it_is() -> None:
    described = png_texts(pictures_of(LOSSLESS[:1])[0].render())
    assert (described["Software"], described["Title"]) == ("hobbit", "Speed-up over on_demand")
    assert "simulated clock" in described["Description"]


def test_synthetic_routing_is_marked() -> None:
    synthetic = [replace(each, synthetic=True, quality=None) for each in CELLS]
    (picture,) = pictures_of(synthetic)  # without quality there is no front
    assert "SYNTHETIC ROUTING" in words(shown(picture))


def test_speed_ups_are_over_on_demand_else_over_the_slowest() -> None:
    (board,) = boards(CELLS)
    assert baseline(board.rows).policy == "on_demand"
    assert baseline([row for row in board.rows if row.policy != "on_demand"]).policy == "mixtral_offloading"
    assert "2.44× 0.61 tok/s" in words(shown(pictures_of(CELLS)[0]))


def test_an_outlier_is_cut_and_others_are_not() -> None:
    assert bars_end([1.0, 2.0, 3.0]) == 3.0
    assert bars_end([1.0, 2.0, 20.0]) == pytest.approx(2.4)
    assert bars_end([5.0]) == 5.0


def test_a_comparison_without_figures_draws_nothing(tmp_path: Path) -> None:
    failed = replace(CELL, measures=None, quality=None, error="4 GB are missing")
    assert draw_all([failed], tmp_path) == [] and draw_all([], tmp_path) == []


def test_drawing_writes_a_picture_for_each_device_and_geometry(tmp_path: Path) -> None:
    other = [replace(each, device="rtx4090") for each in LOSSLESS[:2]]
    written = draw_all([LOSSLESS[0], LOSSY[0], *other], tmp_path)
    assert [path.name for path in written] == [
        "speed-up-orin-mixtral_8x7b.png",
        "pareto-orin-mixtral_8x7b.png",
        "speed-up-rtx4090-mixtral_8x7b.png",
    ]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in written)


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"the picture '.*' cannot be written: No such file or directory"):
        draw_all(LOSSLESS[:1], tmp_path / "none")


def test_without_matplotlib_one_line_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ConfigError, match=r"pip install 'hobbit-moe\[pictures\]'"):
        draw_all(CELLS, tmp_path)


def test_naming_the_pictures_imports_no_matplotlib() -> None:
    code = "import sys, hobbit.report.pictures, hobbit.tasks.report; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_front_holds_what_nothing_beats() -> None:
    slow, best, dear, beaten = (
        Point("slow", 0.0, 1.0, True),
        Point("best", 0.1, 2.0, False),
        Point("dear", 0.5, 3.0, False),
        Point("beaten", 0.2, 1.9, False),
    )
    assert pareto_front([dear, beaten, slow, best]) == [slow, best, dear]
    assert pareto_front([slow, slow._replace(policy="equal")]) == [slow._replace(policy="equal")]


POINTS = st.builds(Point, st.text(max_size=3), st.floats(0, 9), st.floats(0, 9), st.booleans())


@given(st.lists(POINTS, max_size=12))
def test_the_front_beats_all_others_and_none_of_itself(points: list[Point]) -> None:
    front = pareto_front(points)
    for before, after in pairwise(front):
        assert before.kl < after.kl and before.speed < after.speed
    for point in points:
        assert any(best.kl <= point.kl and best.speed >= point.speed for best in front)


@given(st.lists(st.floats(-50, 150), max_size=15), st.floats(0, 20))
def test_spreading_keeps_order_distance_and_bounds(wanted: list[float], gap: float) -> None:
    placed = spread(wanted, gap, 0, 100)
    order = sorted(range(len(wanted)), key=lambda i: wanted[i])
    least = min(gap, 100 / max(len(wanted) - 1, 1))
    assert all(-1e-6 <= place <= 100 + 1e-6 for place in placed)
    assert all(placed[b] - placed[a] >= least - 1e-6 for a, b in pairwise(order))


def test_spreading_leaves_alone_what_stands_apart() -> None:
    assert spread([10, 50, 90], 12, 0, 100) == [10, 50, 90]
    assert spread([50, 50], 10, 0, 100) == [45, 55]
