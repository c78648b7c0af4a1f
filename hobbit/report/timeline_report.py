"""TimelineReport: which stream was busy with what, in a few tokens."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

from hobbit.report import headings
from hobbit.report.report import Report, Section
from hobbit.report.tables import empty_table
from hobbit.report.timeline import Timeline
from hobbit.sizes import format_size


@dataclass(frozen=True, slots=True)
class StreamUse:
    """One stream between the first pass's start and the last one's end: share of the time, spans, bytes."""

    stream: str
    busy: float
    spans: int
    nbytes: int


@dataclass(frozen=True, slots=True)
class TimelineReport(Report):
    """`files` hold the timeline of `tokens` passes, the first after `context` tokens of its sequence."""

    task: ClassVar[str] = "timeline"
    trace: str
    files: tuple[str, ...]
    tokens: int
    context: int
    seconds: float
    streams: tuple[StreamUse, ...]

    def heading(self) -> Iterable[tuple[str, str]]:
        """Files, routing, clock, policy."""
        yield "files", ", ".join(self.files)
        origin = headings.origin(self.scene, self.trace)
        yield "routing", f"{origin}; {self.tokens} tokens after {self.context}"
        yield from headings.speeds(self.scene)
        yield from headings.policy(self.scene)

    def sections(self) -> Iterable[Section]:
        """The streams."""
        title = f"streams in these {self.seconds:.3g} s ({self.scene.clock})"
        table = empty_table("stream", ">busy %", ">stretches", ">moved")
        for use in self.streams:
            moved = format_size(use.nbytes) if use.nbytes else "-"
            table.add_row(use.stream, f"{100 * use.busy:.1f}", str(use.spans), moved)
        yield Section(title, table)


def uses_of(timeline: Timeline) -> tuple[StreamUse, ...]:
    """How each stream was used."""
    spans = {stream: timeline.on(stream) for stream in timeline.streams}
    return tuple(
        StreamUse(stream, timeline.share(stream), len(own), sum(span.nbytes for span in own))
        for stream, own in spans.items()
    )
