"""Hits and misses over the size of the cache, with Belady as the ceiling of demand loading."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from hobbit.report.pictures.captions import badge
from hobbit.report.pictures.colours import FAINT, INK, LINES
from hobbit.report.pictures.labels import spread
from hobbit.report.pictures.picture import Picture
from hobbit.report.sweep import SweepPoint
from hobbit.sizes import format_size

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_CEILING = "belady: a ceiling for what loads on demand at one precision, by hits; others may pass it"
_DASHES = ("-", (0, (5, 2)))

Line = tuple[list[float], list[float]]
"""Shares and values of one policy."""


def capacity_picture(name: str, points: Sequence[SweepPoint]) -> Picture:
    """The picture of a sweep; there is at least one point."""
    first = points[0]
    where = [first.clock, first.device, f"geometry {first.geometry}", f"experts at {first.precision}"]
    notes = [_CEILING] if any(point.bound for point in points) else []
    if not all(point.lossless for point in points):
        notes.append("~ lossy: a miss at the low precision counts by its bytes")
    return Picture(
        name=name,
        title="Hits and misses over the size of the cache",
        subtitle=" · ".join([*where, f"routing {first.routing}" if first.routing else "", "decode"]),
        size=(12.0, 4.6),
        paint=partial(_paint, points),
        badge=badge(first.synthetic),
        notes=tuple(notes),
    )


def _paint(points: Sequence[SweepPoint], figure: Figure) -> None:
    from matplotlib.ticker import PercentFormatter

    hits, misses = figure.subplots(1, 2)
    looks = _looks(points)
    lossy = {point.policy for point in points if not point.lossless}
    for axes, title, name in (
        (hits, "hit ratio   (higher is better)", "hit_ratio"),
        (misses, "miss penalty a token   (lower is better)", "miss_penalty"),
    ):
        lines = _lines(points, name)
        for policy, (shares, values) in lines.items():
            axes.plot(shares, values, marker="o", markersize=4, **looks[policy])
        _axes(axes, points, title)
        figure.draw_without_rendering()  # lays out
        _name_lines(axes, lines, looks, lossy)
    hits.yaxis.set_major_formatter(PercentFormatter(1))


def _looks(points: Sequence[SweepPoint]) -> dict[str, dict[str, Any]]:
    """Colour and dash of every policy; bounds are black."""
    looks: dict[str, dict[str, Any]] = {}
    bounds = {point.policy for point in points if point.bound}
    for policy in dict.fromkeys(point.policy for point in points):
        if policy in bounds:
            looks[policy] = {"color": INK, "linestyle": (0, (1, 1.2)), "linewidth": 2}
        else:
            turn, place = divmod(sum(known not in bounds for known in looks), len(LINES))
            looks[policy] = {"color": LINES[place], "linestyle": _DASHES[turn % 2], "linewidth": 2}
    return looks


def _lines(points: Sequence[SweepPoint], name: str) -> Mapping[str, Line]:
    lines: dict[str, Line] = {}
    for point in sorted(points, key=lambda point: point.share):
        shares, values = lines.setdefault(point.policy, ([], []))
        shares.append(point.share)
        values.append(getattr(point, name))
    return lines


def _axes(axes: Axes, points: Sequence[SweepPoint], title: str) -> None:
    sizes = {point.share: point.expert_bytes for point in points}
    ticks = sorted(sizes)
    axes.set_title(title)
    axes.set_xlabel("size of the cache, of all expert bytes at the high precision, logarithmic")
    axes.set_xscale("log")
    axes.set_xlim(ticks[0] / 1.1, ticks[-1] * 1.9)  # room for the names
    axes.set_xticks(ticks, [f"{100 * share:g} %\n{format_size(sizes[share])}" for share in ticks])
    axes.tick_params(axis="x", labelsize=8)
    axes.minorticks_off()
    axes.set_ylim(bottom=0)
    axes.grid(axis="y")


def _name_lines(
    axes: Axes, lines: Mapping[str, Line], looks: Mapping[str, Mapping[str, Any]], lossy: Container[str]
) -> None:
    """Each policy's name at the right end of its line, moved apart where they would touch."""
    pixel = axes.figure.dpi / 72  # pixels a point
    ends = [(shares[-1], values[-1]) for shares, values in lines.values()]
    heights = axes.transData.transform(ends)[:, 1]
    places = spread(heights.tolist(), 12 * pixel, axes.bbox.y0 + 6 * pixel, axes.bbox.y1 - 6 * pixel)
    leader = {"arrowstyle": "-", "color": FAINT, "relpos": (0, 0.5)}
    for policy, end, height, place in zip(lines, ends, heights, places, strict=True):
        name = f"{policy} ~" if policy in lossy else policy
        label = axes.annotate(
            name, end, (14, (place - height) / pixel), textcoords="offset points", va="center", size=8.5,
            color=looks[policy]["color"], arrowprops=leader,
        )  # fmt: skip
        label.set_in_layout(False)
