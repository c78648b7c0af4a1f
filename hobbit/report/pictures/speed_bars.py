"""Speed-up bars: the policies of one device, geometry and workload, against one of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import Enum
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from hobbit.report.cell import Cell
from hobbit.report.pictures.bounds import is_bound
from hobbit.report.pictures.captions import badge, failures, subtitle
from hobbit.report.pictures.colours import BLUE, FAINT, INK, ORANGE, PAPER
from hobbit.report.pictures.picture import Picture

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BASELINE = "on_demand"
"""What speed-ups are over, if it was measured; else the slowest."""

OUTLIER = 1.6
"""The longest bar is cut if it is so much longer than the next, lest it flatten the rest."""

_CUT = "»: the bar goes on. Speeds are beside the speed-ups."
_CLEAR = {"facecolor": PAPER, "edgecolor": "none", "pad": 0.6}
_LABEL: dict[str, Any] = {"textcoords": "offset points", "bbox": _CLEAR, "va": "center", "size": 8}


class Kind(Enum):
    """What a bar stands for; the value is the legend's."""

    LOSSLESS = "lossless against the high precision"
    LOSSY = "lossy: speed bought with quality"
    BOUND = "bound: knows the future, or ignores the budget"


_LOOKS: dict[Kind, dict[str, Any]] = {
    Kind.LOSSLESS: {"facecolor": BLUE},
    Kind.LOSSY: {"facecolor": ORANGE, "edgecolor": "white", "hatch": "///", "linewidth": 0},
    Kind.BOUND: {"facecolor": FAINT},
}


class Row(NamedTuple):
    """One policy: decode speed in tokens/s, seconds of prefill."""

    policy: str
    kind: Kind
    decode: float
    prefill: float


def speed_bars(name: str, cells: Sequence[Cell]) -> Picture | None:
    """Decode and prefill speed-ups of `cells`, one group's, fastest first; None if nothing was measured."""
    rows = sorted(rows_of(cells), key=lambda row: (-row.decode, row.policy))
    if not rows:
        return None
    base = baseline(rows)
    return Picture(
        name=name,
        title=f"Speed-up over {base.policy}",
        subtitle=subtitle(cells),
        size=(10.0, 1.0 + 0.27 * len(rows)),
        paint=partial(_paint, rows, base),
        badge=badge(cells),
        keys=tuple((kind.value, _LOOKS[kind]) for kind in Kind if kind in {row.kind for row in rows}),
        notes=(_CUT, *failures(cells)),
    )


def rows_of(cells: Iterable[Cell]) -> list[Row]:
    """What was measured; a policy that decoded nothing has no speed."""
    measured = [(cell, cell.measures) for cell in cells if cell.measures]
    rows = [Row(cell.policy, _kind(cell), m.decode_tokens_per_s, m.prefill_s) for cell, m in measured]
    return [row for row in rows if row.decode > 0]


def _kind(cell: Cell) -> Kind:
    if is_bound(cell.policy):
        return Kind.BOUND
    return Kind.LOSSLESS if cell.lossless else Kind.LOSSY


def baseline(rows: Sequence[Row]) -> Row:
    """What speed-ups are over."""
    return next((row for row in rows if row.policy == BASELINE), min(rows, key=lambda row: row.decode))


def bars_end(ratios: Iterable[float]) -> float:
    """Where bars of these lengths end at the latest."""
    *rest, longest = sorted(ratios)
    return 1.2 * rest[-1] if rest and longest > OUTLIER * rest[-1] else longest


def _paint(rows: Sequence[Row], base: Row, figure: Figure) -> None:
    decode, prefill = figure.subplots(1, 2, sharey=True, width_ratios=(3, 2))
    speeds = [f"{row.decode:.3g} tok/s" for row in rows]
    _bars(decode, rows, [row.decode / base.decode for row in rows], speeds)
    seconds = [f"{row.prefill:.3g} s" for row in rows]
    _bars(prefill, rows, [base.prefill / row.prefill if row.prefill else None for row in rows], seconds)
    decode.set_yticks(range(len(rows)), [row.policy for row in rows])
    decode.set_ylim(len(rows) - 0.4, -0.6)
    decode.set_title("decode")
    prefill.set_title("prefill")


def _bars(axes: Axes, rows: Sequence[Row], ratios: Sequence[float | None], amounts: Sequence[str]) -> None:
    end = bars_end([ratio for ratio in ratios if ratio is not None] or [1.0])
    for place, (row, ratio, amount) in enumerate(zip(rows, ratios, amounts, strict=True)):
        length = min(ratio or 0.0, end)
        axes.barh(place, length, height=0.74, **_LOOKS[row.kind])
        cut = "» " if ratio is not None and ratio > end else ""
        label = "n/a" if ratio is None else f"{cut}{ratio:.2f}×  {amount}"
        axes.annotate(label, (length, place), (4, 0), **_LABEL)
    axes.axvline(1.0, color=INK, linewidth=1, linestyle=(0, (4, 3)), zorder=1.5)
    axes.set_xlim(0, end * 1.5)  # room for the labels
    axes.grid(axis="x")
    axes.tick_params(axis="y", length=0)
    axes.xaxis.set_major_formatter("{x:g}×")
