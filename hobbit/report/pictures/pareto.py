"""Speed against quality: decode speed over mean KL, with the Pareto front drawn."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING

from hobbit.report.comparison import Board, Row
from hobbit.report.pictures.bounds import is_bound
from hobbit.report.pictures.captions import badge, board_subtitle
from hobbit.report.pictures.colours import BLUE, GREEN, INK, ORANGE
from hobbit.report.pictures.front import Point, pareto_front
from hobbit.report.pictures.labels import label_beside, label_points
from hobbit.report.pictures.picture import Picture
from hobbit.report.pictures.ticks import plain_ticks

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_LOG_FROM = 6.0
"""Speeds that differ by more than this factor are drawn on a logarithmic axis."""


def pareto(board: Board, notes: Sequence[str] = ()) -> Picture | None:
    """Speed over mean KL of a board; None if quality was measured of none."""
    policies = [row for row in board.rows if not is_bound(row.policy)]
    points = [point for point in map(point_of, policies) if point]
    if not points or all(row.mean_kl is None for row in policies):
        return None
    return Picture(
        name=f"pareto-{board.device}-{board.geometry}",
        title="Decode speed against quality",
        subtitle=f"{board_subtitle(board)} · quality live, in decode",
        size=(10.0, 5.6),
        paint=partial(_paint, points),
        badge=badge(board.synthetic),
        notes=(*_left_out(board.rows), *notes),
    )


def point_of(row: Row) -> Point | None:
    """Where a policy stands; a lossless one's KL is 0 by construction, if it was not measured."""
    if row.mean_kl is None and not row.lossless:
        return None
    kl = row.mean_kl or 0.0
    return Point(row.policy, kl, row.decode_tokens_per_s, kl <= 0)


def _left_out(rows: Sequence[Row]) -> Iterator[str]:
    """Notes on what has no point."""
    bounds = [f"{row.policy} {row.decode_tokens_per_s:.3g} tok/s" for row in rows if is_bound(row.policy)]
    if bounds:
        yield f"bounds, which know the future or ignore the budget, are not shown: {', '.join(bounds)}"
    unmeasured = [row.policy for row in rows if not (is_bound(row.policy) or point_of(row))]
    if unmeasured:
        yield f"quality n/a, not shown: {', '.join(unmeasured)}"


def _paint(points: Sequence[Point], figure: Figure) -> None:
    lossless, lossy = figure.subplots(1, 2, sharey=True, width_ratios=(1, 2.6))
    front = pareto_front(points)
    _axes(points, lossless, lossy)
    _front(lossless, lossy, front)
    for axes, members, colour in ((lossless, True, BLUE), (lossy, False, ORANGE)):
        mine = [point for point in points if point.lossless is members]
        best = [point for point in mine if point in front]
        for some, edge in ((mine, "white"), (best, INK)):
            spots = list(zip(*map(_place, some), strict=True)) or [(), ()]
            axes.scatter(*spots, s=58, color=colour, edgecolors=edge, linewidths=1.4, zorder=3)
        figure.draw_without_rendering()  # lays out
        if mine:
            label = label_beside if members else label_points
            label(axes, list(map(_place, mine)), [point.policy for point in mine])


def _place(point: Point) -> tuple[float, float]:
    return point.kl, point.speed


def _axes(points: Sequence[Point], lossless: Axes, lossy: Axes) -> None:
    speeds = [point.speed for point in points]
    lossless.set_ylabel("decode, tokens/s   (faster ↑)")
    lossless.set_title("lossless: KL = 0")
    lossless.set_xlim(-0.12, 1)
    lossless.set_xticks([])
    lossy.set_title("lossy")
    lossy.set_xlabel("mean KL to the model at high precision, nats, logarithmic   (← better)")
    divergences = [point.kl for point in points if not point.lossless] or [1e-3, 1e-2]
    lossy.set_xscale("log")
    lossy.set_xlim(min(divergences) / 2.2, max(divergences) * 2.2)
    plain_ticks(lossy.xaxis)
    if max(speeds) > _LOG_FROM * min(speeds):
        lossless.set_yscale("log")
        lossless.set_ylim(min(speeds) / 1.3, max(speeds) * 1.3)
        plain_ticks(lossless.yaxis)
    else:
        lossless.set_ylim(0, max(speeds) * 1.15)
    for axes in (lossless, lossy):
        axes.grid(axis="y")


def _front(lossless: Axes, lossy: Axes, front: Sequence[Point]) -> None:
    """A staircase: what lies below it is beaten. It starts at the fastest lossless policy."""
    left, right = lossy.get_xlim()
    start = next((point.speed for point in front if point.lossless), 0.0)
    steps = [(left, start), *(_place(point) for point in front if not point.lossless)]
    steps.append((right, steps[-1][1]))
    xs, ys = zip(*steps, strict=True)
    lossy.step(xs, ys, where="post", color=GREEN, linewidth=1.6, label="Pareto front: beaten by none")
    lossy.fill_between(xs, ys, step="post", color=GREEN, alpha=0.07, linewidth=0)
    lossy.legend(loc="lower right", fontsize=8.5)
    if start:
        lossless.axhline(start, color=GREEN, linewidth=1.6)
        lossless.axhspan(0, start, color=GREEN, alpha=0.07, linewidth=0)
