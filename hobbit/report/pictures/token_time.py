"""Where the time of a token goes: the parts of a step by layer, one panel a policy."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from hobbit.report.bench import PART_WORDS, BenchReport
from hobbit.report.pictures.captions import badge
from hobbit.report.pictures.colours import BLUE, FAINT, INK, ORANGE
from hobbit.report.pictures.picture import Picture

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from hobbit.bench.row import PolicyRow

_LOOKS: dict[str, dict[str, Any]] = {
    "model": {"facecolor": FAINT},
    "experts": {"facecolor": BLUE},
    "copies": {"facecolor": ORANGE},
    "host": {"facecolor": ORANGE, "edgecolor": "white", "hatch": "///", "linewidth": 0},
    "runtime": {"facecolor": INK},
}

_NOTE = (
    "Barriers between the parts keep them from overlapping: their sum is more than an undisturbed token "
    "takes, which stands beside each policy. The last bar is what follows the last layer."
)


def token_time_picture(report: BenchReport) -> Picture:
    """One panel for every policy whose tokens were split into parts."""
    rows = [row for row in report.result.rows if row.split is not None]
    return Picture(
        name="token-time",
        title="Where the time of a token goes",
        subtitle=f"live, wall time · {report.machine} · {report.shape} · {report.lengths}",
        size=(10.0, 0.9 + 2.0 * max(1, len(rows))),
        paint=partial(_paint, rows),
        badge=badge(report.scene.synthetic),
        keys=tuple((words, _LOOKS[part]) for part, words in PART_WORDS.items()),
        notes=(_NOTE,),
    )


def _paint(rows: Sequence[PolicyRow], figure: Figure) -> None:
    panels = figure.subplots(max(1, len(rows)), 1, sharex=True, squeeze=False)[:, 0]
    for axes, row in zip(panels, rows, strict=False):
        assert row.split is not None
        layers = range(len(row.split.by_layer))
        below = [0.0] * len(layers)
        for number, part in enumerate(PART_WORDS):
            heights = [layer[number] for layer in row.split.by_layer]
            axes.bar(layers, heights, bottom=below, width=0.8, **_LOOKS[part])
            below = [start + height for start, height in zip(below, heights, strict=True)]
        axes.set_title(
            f"{row.policy}: {row.split.total:.3g} ms with barriers, {row.token_ms:.3g} ms undisturbed"
        )
        axes.set_ylabel("ms")
        axes.grid(axis="y")
    panels[-1].set_xlabel("layer")
