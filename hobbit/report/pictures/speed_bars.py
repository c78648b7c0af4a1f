"""Speed-up bars: the policies of one device and geometry, against one of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import Enum
from functools import partial
from typing import TYPE_CHECKING, Any

from hobbit.report.comparison import BASELINE, Board, Row
from hobbit.report.pictures.bounds import is_bound
from hobbit.report.pictures.captions import badge, board_subtitle
from hobbit.report.pictures.colours import BLUE, FAINT, INK, ORANGE, PAPER
from hobbit.report.pictures.picture import Picture

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

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


def speed_bars(board: Board, notes: Sequence[str] = ()) -> Picture | None:
    """Decode and prefill speed-ups of a board, fastest first; None if nothing was decoded."""
    rows = [row for row in board.rows if row.decode_tokens_per_s > 0]
    if not rows:
        return None
    base = baseline(rows)
    kinds = {kind_of(row) for row in rows}
    return Picture(
        name=f"speed-up-{board.device}-{board.geometry}",
        title=f"Speed-up over {base.policy}",
        subtitle=board_subtitle(board),
        size=(10.0, 1.0 + 0.27 * len(rows)),
        paint=partial(_paint, rows, base),
        badge=badge(board.synthetic),
        keys=tuple((kind.value, _LOOKS[kind]) for kind in Kind if kind in kinds),
        notes=(_CUT, *notes),
    )


def kind_of(row: Row) -> Kind:
    """What the bar of a row stands for."""
    if is_bound(row.policy):
        return Kind.BOUND
    return Kind.LOSSLESS if row.lossless else Kind.LOSSY


def baseline(rows: Sequence[Row]) -> Row:
    """What speed-ups are over: loading on demand if it was measured, else the slowest."""
    slowest = min(rows, key=lambda row: row.decode_tokens_per_s)
    return next((row for row in rows if row.policy == BASELINE), slowest)


def bars_end(ratios: Iterable[float]) -> float:
    """Where bars of these lengths end at the latest."""
    *rest, longest = sorted(ratios)
    return 1.2 * rest[-1] if rest and longest > OUTLIER * rest[-1] else longest


def _paint(rows: Sequence[Row], base: Row, figure: Figure) -> None:
    decode, prefill = figure.subplots(1, 2, sharey=True, width_ratios=(3, 2))
    speeds = [f"{row.decode_tokens_per_s:.3g} tok/s" for row in rows]
    _bars(decode, rows, [row.decode_tokens_per_s / base.decode_tokens_per_s for row in rows], speeds)
    seconds = [f"{row.prefill_s:.3g} s" for row in rows]
    ratios = [base.prefill_s / row.prefill_s if row.prefill_s else None for row in rows]
    _bars(prefill, rows, ratios, seconds)
    decode.set_yticks(range(len(rows)), [row.policy for row in rows])
    decode.set_ylim(len(rows) - 0.4, -0.6)
    decode.set_title("decode")
    prefill.set_title("prefill")


def _bars(axes: Axes, rows: Sequence[Row], ratios: Sequence[float | None], amounts: Sequence[str]) -> None:
    end = bars_end([ratio for ratio in ratios if ratio is not None] or [1.0])
    for place, (row, ratio, amount) in enumerate(zip(rows, ratios, amounts, strict=True)):
        length = min(ratio or 0.0, end)
        axes.barh(place, length, height=0.74, **_LOOKS[kind_of(row)])
        cut = "» " if ratio is not None and ratio > end else ""
        label = "n/a" if ratio is None else f"{cut}{ratio:.2f}×  {amount}"
        axes.annotate(label, (length, place), (4, 0), **_LABEL)
    axes.axvline(1.0, color=INK, linewidth=1, linestyle=(0, (4, 3)), zorder=1.5)
    axes.set_xlim(0, end * 1.5)  # room for the labels
    axes.grid(axis="x")
    axes.tick_params(axis="y", length=0)
    axes.xaxis.set_major_formatter("{x:g}×")
