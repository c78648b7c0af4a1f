"""The heat map: layers from left to right, experts from top to bottom; uses above, hits below."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from hobbit.report.heat import HeatReport
from hobbit.report.pictures.captions import badge, scene_subtitle
from hobbit.report.pictures.colours import PAPER
from hobbit.report.pictures.picture import Picture

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_CELL = 0.27
"""Inches of a square, where there is room."""


def heat_map(report: HeatReport, policy: str) -> Picture:
    """The picture of a report."""
    layers, experts = len(report.uses), len(report.uses[0])
    width = min(max(1.6 + _CELL * layers, 9.0), 14.0)
    height = min(_CELL * experts, 4.5)
    unwanted = any(None in ratios for ratios in report.hit_ratios)
    return Picture(
        name="heat",
        title=f"Experts in use, and there when used: {policy}",
        subtitle=f"{scene_subtitle(report.scene)} · {report.decode_tokens} decoded tokens",
        size=(width, 2 * height + 1.5),
        paint=partial(_paint, report.uses, report.hit_ratios),
        badge=badge(report.scene.synthetic),
        notes=("white: no demand wanted a copy of this expert.",) if unwanted else (),
    )


def _paint(
    uses: Sequence[Sequence[float]], hit_ratios: Sequence[Sequence[float | None]], figure: Figure
) -> None:
    above, below = figure.subplots(2, 1, sharex=True)
    _map(above, uses, f"uses: share of the layer's selections (even: {1 / len(uses[0]):.1%})", None)
    _map(below, hit_ratios, "hits: share of demands that found a copy", 1.0)
    below.set_xlabel("layer")


def _map(axes: Axes, values: Sequence[Sequence[float | None]], title: str, top: float | None) -> None:
    import numpy as np
    from matplotlib import colormaps
    from matplotlib.ticker import MaxNLocator, PercentFormatter

    grid = np.array(values, dtype=float).T  # [E, L]; None becomes NaN
    colours = colormaps["viridis"].with_extremes(bad=PAPER)
    image = axes.imshow(grid, cmap=colours, vmin=0, vmax=top, aspect="auto", interpolation="nearest")
    axes.set_title(title)
    axes.set_ylabel("expert")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(integer=True, nbins=16, min_n_ticks=1))
    axes.figure.colorbar(image, ax=axes, format=PercentFormatter(1), pad=0.01, aspect=12)
