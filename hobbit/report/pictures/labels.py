"""Where labels go so that none covers another, or a point."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from hobbit.report.pictures.colours import FAINT, INK, PAPER

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.text import Annotation
    from matplotlib.transforms import Bbox

_OFFSETS = [(7, -9), (-7, 9), (7, 9), (-7, -9), (7, 0), (-7, 0)]  # a rising front leaves the first two free
_OFFSETS += [(x, y) for y in (-17, 17, -28, 28, -40, 40, -54, 54) for x in (14, -14)]
PLACES = tuple((x, y, "left" if x > 0 else "right") for x, y in _OFFSETS)
"""Tried in turn: offsets in points, and the side of the label that is anchored."""

_CLEAR = {"facecolor": PAPER, "edgecolor": "none", "alpha": 0.75, "pad": 0.6}
_LEADER = {"arrowstyle": "-", "color": FAINT, "shrinkA": 0, "shrinkB": 3}


def spread(wanted: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Positions as near as can be to those wanted, `gap` or more apart, between `low` and `high`, in order.

    Where there is no room for that they are equally far apart, as far as the room allows.
    """
    order = sorted(range(len(wanted)), key=lambda i: wanted[i])
    gap = min(gap, (high - low) / max(len(order) - 1, 1))
    clusters: list[tuple[float, list[int]]] = []  # middle, members
    for i in order:
        members = [i]
        while True:
            reach = gap * (len(members) - 1) / 2
            middle = sum(wanted[j] for j in members) / len(members)
            middle = min(max(middle, low + reach), high - reach)
            if not clusters or middle - clusters[-1][0] >= gap * (len(members) + len(clusters[-1][1])) / 2:
                break
            members = clusters.pop()[1] + members
        clusters.append((middle, members))
    placed = list(wanted)
    for middle, members in clusters:
        for rank, i in enumerate(members):
            placed[i] = middle + gap * (rank - (len(members) - 1) / 2)
    return placed


def label_beside(
    axes: Axes, points: Sequence[tuple[float, float]], labels: Sequence[str], size: float = 8.5, **style: Any
) -> None:
    """Write each label to the right of its point, all in one column, moved apart where they would touch.

    The figure must have its final layout: distances are judged in pixels.
    """
    heights = axes.transData.transform(list(points))[:, 1]
    bottom, top = axes.bbox.y0, axes.bbox.y1
    pixels = axes.figure.dpi / 72  # a point
    placed = spread(heights.tolist(), 1.35 * size * pixels, bottom + size * pixels, top - size * pixels)
    for point, label, height, new in zip(points, labels, heights, placed, strict=True):
        _write(axes, point, label, (16, (new - height) / pixels), "left", size, **style)


def label_points(
    axes: Axes, points: Sequence[tuple[float, float]], labels: Sequence[str], size: float = 8.5
) -> None:
    """Write each label near its point where there is room, with a line to it if it has to stand further off.

    The figure must have its final layout: places are judged in pixels.
    """
    from matplotlib.transforms import Bbox

    pixels = axes.transData.transform(list(points))
    dots = [Bbox.from_extents(x - 6, y - 6, x + 6, y + 6) for x, y in pixels]
    taken: list[Bbox] = []
    for own, (point, label) in enumerate(zip(points, labels, strict=True)):
        others = [*taken, *dots[:own], *dots[own + 1 :]]
        for dx, dy, side in PLACES:
            note = _write(axes, point, label, (dx, dy), side, size)
            box = _extent(note)
            if _inside(box, axes.bbox) and not any(box.overlaps(other) for other in others):
                break
            note.remove()
        else:
            note = _write(axes, point, label, PLACES[0][:2], PLACES[0][2], size)
        taken.append(_extent(note))


def _write(
    axes: Axes,
    point: tuple[float, float],
    label: str,
    offset: tuple[float, float],
    side: str,
    size: float,
    **style: Any,
) -> Annotation:
    """A label at an offset in points; it leaves the layout as it is."""
    leader = None if abs(offset[1]) < 10 else {**_LEADER, "relpos": (float(side == "right"), 0.5)}
    look: dict[str, Any] = {"color": INK, "va": "center", "ha": side, "size": size, "bbox": _CLEAR} | style
    note = axes.annotate(label, point, offset, textcoords="offset points", arrowprops=leader, **look)
    note.set_in_layout(False)
    return note


def _extent(note: Annotation) -> Bbox:
    """The label's own box, without the line that leads to its point."""
    from matplotlib.text import Text

    note.get_window_extent()  # puts it in its place
    return Text.get_window_extent(note).padded(1)


def _inside(box: Bbox, room: Bbox) -> bool:
    return bool(room.x0 <= box.x0 and box.x1 <= room.x1 and room.y0 <= box.y0 and box.y1 <= room.y1)
