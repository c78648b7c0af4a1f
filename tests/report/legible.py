"""What a reader sees of a picture, and whether it can be read."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.text import Text

from hobbit.report.pictures import Picture
from hobbit.report.pictures.canvas import figure_of, style


def shown(picture: Picture) -> Figure:
    """The picture, laid out."""
    with style():
        figure = figure_of(picture)
        figure.draw_without_rendering()
        return figure


def texts(figure: Figure) -> Iterator[Text]:
    """The texts that are drawn: those of ticks only within the axes."""
    hidden = {id(label) for axis in _axes(figure) for label in _beyond(axis)}
    for text in figure.findobj(Text):
        assert isinstance(text, Text)
        if text.get_visible() and text.get_text().strip() and id(text) not in hidden:
            yield text


def words(figure: Figure) -> str:
    """All of them, on one line."""
    return " ".join(" ".join(text.get_text().split()) for text in texts(figure))


def assert_legible(figure: Figure) -> None:
    """No text covers another, and none leaves the page."""
    # Without the line that leads from a label to its point: that may pass by another label.
    boxes = [(text.get_text(), Text.get_window_extent(text)) for text in texts(figure)]
    page = figure.bbox
    for label, box in boxes:
        assert page.x0 <= box.x0 and box.x1 <= page.x1 and page.y0 <= box.y0 and box.y1 <= page.y1, label
    for (one, a), (other, b) in combinations(boxes, 2):
        assert not a.overlaps(b), f"{one!r} and {other!r}"


def _axes(figure: Figure) -> Iterator[Axis]:
    for axes in figure.axes:
        yield from (axes.xaxis, axes.yaxis)


def _beyond(axis: Axis) -> Iterator[Text]:
    """The labels of ticks that matplotlib keeps but does not draw."""
    low, high = sorted(axis.get_view_interval())
    for tick in [*axis.get_major_ticks(), *axis.get_minor_ticks()]:
        if not low <= tick.get_loc() <= high:
            yield from (tick.label1, tick.label2)
