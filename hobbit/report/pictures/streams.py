"""The timeline as a picture: all tokens above, a few layers below, large enough to read."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from hobbit.report.pictures.captions import badge, scene_subtitle
from hobbit.report.pictures.colours import BLUE, FAINT, GREEN, INK, MUTED, PAPER, PURPLE, SKY, VERMILLION
from hobbit.report.pictures.picture import Picture
from hobbit.report.scene import Scene
from hobbit.report.timeline import COMPUTE, Span, Timeline, Work

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LOOKS: dict[Work, dict[str, Any]] = {
    Work.LAYER: {"facecolor": SKY},
    Work.EXPERT: {"facecolor": BLUE},
    Work.OTHER: {"facecolor": PURPLE},
    Work.WAIT: {"facecolor": PAPER, "edgecolor": FAINT, "hatch": "/////"},
    Work.DEMAND: {"facecolor": VERMILLION},
    Work.PREFETCH: {"facecolor": GREEN},
}

LAYERS = 6
"""Of the part that is enlarged."""

_FULL, _LOW = 0.8, 0.4
_MILLISECOND = 1e6
_LETTER = 5.2  # points of a label's letters, with its margins


def streams_picture(timeline: Timeline, policy: str, scene: Scene) -> Picture:
    """The picture of `timeline`, which has at least one pass."""
    kinds = {span.work for span in timeline.spans}
    rows = len(timeline.streams)
    return Picture(
        name="timeline",
        title=f"Where the time goes: {policy}",
        subtitle=scene_subtitle(scene),
        size=(13.0, 1.6 + 0.85 * rows),
        paint=partial(_paint, timeline),
        badge=badge(scene.synthetic),
        keys=tuple((work.value, look) for work, look in LOOKS.items() if work in kinds),
        notes=("thin: the low precision. L5 E3: expert 3 of layer 5. Milliseconds of the simulated clock.",),
    )


def enlarged(timeline: Timeline) -> tuple[int, int]:
    """Start and end of the few layers that show most kinds of work, the earliest of such, in nanoseconds."""
    begun = [span for span in timeline.on(COMPUTE) if span.work is Work.LAYER]
    edges = [span.start_ns for span in begun if span.start_ns >= timeline.bounds[0]] + [timeline.bounds[1]]
    windows = list(zip(edges, edges[LAYERS:], strict=False)) or [(edges[0], edges[-1])]

    def kinds(window: tuple[int, int]) -> int:
        start, end = window
        inside = (span for span in timeline.spans if start <= span.start_ns and span.end_ns <= end)
        return len({(span.stream, span.work, span.level) for span in inside})

    return max(windows, key=kinds)


def _paint(timeline: Timeline, figure: Figure) -> None:
    whole, part = figure.subplots(2, 1)
    window = enlarged(timeline)
    for axes, bounds in ((whole, timeline.bounds), (part, window)):
        _rows(axes, timeline, bounds)
    whole.set_yticks(
        range(len(timeline.streams)), [_with_share(timeline, stream) for stream in timeline.streams]
    )
    whole.set_title("all of it", pad=16)
    part.set_title(f"enlarged: {LAYERS} layers")
    part.set_xlabel("ms")
    figure.draw_without_rendering()  # lays out
    _name_passes(whole, timeline)
    _name_spans(part, timeline, window)
    whole.axvspan(*(edge / _MILLISECOND for edge in window), facecolor="none", edgecolor=INK, linewidth=1.2)


def _rows(axes: Axes, timeline: Timeline, bounds: tuple[int, int]) -> None:
    start, end = bounds
    inside = [span for span in timeline.spans if span.end_ns > start and span.start_ns < end]
    for row, stream in enumerate(timeline.streams):
        for work, look in LOOKS.items():
            own = [span for span in inside if (span.stream, span.work) == (stream, work)]
            for low, height in ((False, _FULL), (True, _LOW)):
                places = [_place(span) for span in own if bool(span.level) is low]
                axes.broken_barh(places, (row - height / 2, height), **_outlined(look))
    axes.set_yticks(range(len(timeline.streams)), timeline.streams)
    axes.set_ylim(len(timeline.streams) - 0.5, -0.5)
    axes.set_xlim(start / _MILLISECOND, end / _MILLISECOND)
    axes.tick_params(axis="y", length=0)
    axes.ticklabel_format(axis="x", useOffset=False)
    axes.grid(axis="x")


def _outlined(look: dict[str, Any]) -> dict[str, Any]:
    return {"edgecolor": PAPER, "linewidth": 0.4} | look


def _place(span: Span) -> tuple[float, float]:
    return span.start_ns / _MILLISECOND, (span.end_ns - span.start_ns) / _MILLISECOND


def _with_share(timeline: Timeline, stream: str) -> str:
    share = timeline.share(stream)
    return f"{stream}\n{100 * share:.0f} % busy" if share else f"{stream}\nidle"


def _name_passes(axes: Axes, timeline: Timeline) -> None:
    for one in timeline.passes:
        axes.axvline(one.start_ns / _MILLISECOND, color=INK, linewidth=0.8, ymax=1.06, clip_on=False)
        middle = (one.start_ns + one.end_ns) / 2 / _MILLISECOND
        label = axes.annotate(
            f"token {one.context}", (middle, 1), (0, 4), xycoords=("data", "axes fraction"),
            textcoords="offset points", ha="center", size=8, color=MUTED,
        )  # fmt: skip
        label.set_in_layout(False)


def _name_spans(axes: Axes, timeline: Timeline, window: tuple[int, int]) -> None:
    """Name what is wide enough for its name."""
    points = 72 / axes.figure.dpi * axes.bbox.width / (window[1] - window[0])  # a nanosecond
    for row, stream in enumerate(timeline.streams):
        for span in timeline.on(stream):
            start, end = max(span.start_ns, window[0]), min(span.end_ns, window[1])
            label = _fitting(span, (end - start) * points)
            if label:
                middle = (start + end) / 2 / _MILLISECOND
                colour = MUTED if span.work is Work.WAIT else INK if span.work is Work.LAYER else "white"
                text = axes.text(middle, row, label, size=7.5, color=colour, ha="center", va="center")
                text.set_in_layout(False)


def _fitting(span: Span, points: float) -> str:
    """The longest name that fits into so many points; none if even the shortest does not."""
    short = f"L{span.layer} E{span.expert}" if span.expert is not None else span.label
    names: Sequence[str] = (span.label, short, f"E{span.expert}" if span.expert is not None else "")
    return next((name for name in names if name and len(name) * _LETTER <= points), "")
