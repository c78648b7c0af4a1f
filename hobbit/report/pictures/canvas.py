"""Canvas: the figure around a drawing: title, subtitle, badge, notes. Imports matplotlib.

Figures are made without pyplot, so that no display is asked for and nothing global is changed.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from textwrap import wrap
from typing import TYPE_CHECKING, Any

from matplotlib import rc_context
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.transforms import Bbox

from hobbit.report.pictures.colours import BADGE, INK, MUTED, PAPER

if TYPE_CHECKING:
    from hobbit.report.pictures.picture import Look, Picture

MARGIN, LINE, KEYS = 0.2, 0.19, 0.27
"""Inches: around the picture, of a line of the subtitle, of the row of keys."""

LETTERS_PER_INCH = 15.0
"""Of the notes' letters, on average."""

_STYLE: Any = {  # matplotlib types every key
    "font.family": "DejaVu Sans",  # comes with matplotlib: the same letters everywhere
    "font.size": 9.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.titlelocation": "left",
    "axes.titlesize": 10.0,
    "axes.titleweight": "bold",
    "axes.titlecolor": INK,
    "axes.axisbelow": True,
    "grid.color": "#e3e6ea",
    "grid.linewidth": 0.8,
    "text.color": INK,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "hatch.linewidth": 0.8,
    "legend.frameon": False,
    "savefig.dpi": 144,
    "savefig.facecolor": PAPER,
    "svg.hashsalt": "hobbit",  # else the ids in the file differ from run to run
}


def style() -> AbstractContextManager[None]:
    """The look of every picture, for as long as one is drawn."""
    return rc_context(_STYLE)


def figure_of(picture: Picture) -> Figure:
    """The whole figure, painted; call it within `style()`."""
    width, height = picture.size
    letters = int((width - 2 * MARGIN) * LETTERS_PER_INCH)
    subtitle = wrap(picture.subtitle, int(letters * 0.85))
    notes = [line for note in picture.notes for line in wrap(note, letters)]
    head = 0.58 + LINE * len(subtitle) + (KEYS if picture.keys else 0)
    foot = 0.1 + 0.16 * len(notes)
    total = head + height + foot
    figure = Figure(figsize=(width, total), facecolor=PAPER)
    FigureCanvasAgg(figure)
    left, top = MARGIN / width, 1 - 0.2 / total
    figure.text(left, top, picture.title, size=14, weight="bold", va="top")
    below: dict[str, Any] = {"color": MUTED, "linespacing": 1.3}
    figure.text(left, 1 - 0.52 / total, "\n".join(subtitle), size=9.5, va="top", **below)
    if picture.keys:
        _keys(figure, picture.keys, (left, 1 - (head - KEYS) / total))
    if picture.badge:
        _badge(figure, picture.badge, (1 - left, top))
    if notes:
        figure.text(left, 0.09 / total, "\n".join(notes), size=8, va="bottom", **below)
    box = (left, foot / total, 1 - 2 * left, height / total)
    figure.set_layout_engine("constrained", rect=box, h_pad=0.06, w_pad=0.06)
    picture.paint(figure)
    _settle(figure)
    return figure


def _settle(figure: Figure) -> None:
    """Lay out for good. The solver's last digits differ from run to run, and with them the file would."""
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    for axes in figure.axes:
        axes.set_position(Bbox(axes.get_position().get_points().round(4)))


def _keys(figure: Figure, keys: Sequence[tuple[str, Look]], place: tuple[float, float]) -> None:
    """One row of boxes with their meanings."""
    handles = [Patch(label=label, **look) for label, look in keys]
    figure.legend(
        handles=handles, loc="upper left", bbox_to_anchor=place, ncols=len(handles), fontsize=8.5,
        borderaxespad=0, borderpad=0, handlelength=1.4, columnspacing=1.6,
    ).set_in_layout(False)  # fmt: skip


def _badge(figure: Figure, text: str, place: tuple[float, float]) -> None:
    box = {"boxstyle": "round,pad=0.35", "facecolor": BADGE, "edgecolor": "none"}
    figure.text(*place, text.upper(), size=8.5, weight="bold", color="white", ha="right", va="top", bbox=box)
