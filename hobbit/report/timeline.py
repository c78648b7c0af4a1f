"""Timeline: what every stream of a device did, and in which pass."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from itertools import pairwise
from typing import NamedTuple, Protocol, runtime_checkable

from hobbit.api import ExpertKey
from hobbit.runtime import Observer

STREAMS = ("compute", "link", "disk", "host")
"""In the order in which they are shown; `compute` is the one that everybody waits for."""
COMPUTE = STREAMS[0]


class Stretch(Protocol):
    """A stretch of work on a stream, as a simulated device logs it.

    `what` is the layer, the expert copy, or a word. Copies move `nbytes` in it; `prefetch`: ahead of need.
    """

    @property
    def stream(self) -> str: ...
    @property
    def start_ns(self) -> int: ...
    @property
    def end_ns(self) -> int: ...
    @property
    def what(self) -> object: ...
    @property
    def nbytes(self) -> int: ...
    @property
    def prefetch(self) -> bool: ...


@runtime_checkable
class KeepsTimeline(Protocol):
    """A device whose profile may have `timeline` on."""

    def timeline(self) -> Sequence[Stretch]:
        """What ran when, on which stream."""
        ...


class Work(Enum):
    """What a stretch is; the value is the word for it."""

    LAYER = "attention, router"
    EXPERT = "expert"
    OTHER = "rest of the model"
    WAIT = "waiting"
    DEMAND = "copy on demand"
    PREFETCH = "prefetch"


class Span(NamedTuple):
    """One stretch in nanoseconds of the device's clock; what is not known of it is None, or 0 bytes."""

    stream: str
    start_ns: int
    end_ns: int
    work: Work
    label: str
    layer: int | None = None
    expert: int | None = None
    level: int | None = None
    precision: str | None = None
    nbytes: int = 0


class Pass(NamedTuple):
    """One forward pass: of `tokens` tokens, after `context` of the sequence."""

    tokens: int
    context: int
    start_ns: int
    end_ns: int


class PassTimes(Observer):
    """Notes when passes begin and end on the clock `now_ns`."""

    def __init__(self, now_ns: Callable[[], int]) -> None:
        self.passes: list[Pass] = []
        self._now_ns = now_ns
        self._begun = Pass(0, 0, 0, 0)

    def begin_pass(self, tokens: int, context: int, requests: int) -> None:
        """Note the start."""
        self._begun = Pass(tokens, context, self._now_ns(), 0)

    def end_pass(self) -> None:
        """Note the end."""
        self.passes.append(self._begun._replace(end_ns=self._now_ns()))


@dataclass(frozen=True, slots=True)
class Timeline:
    """Spans by stream and start, none overlapping another of its stream; `passes` in order.

    `streams` are those that the device has, idle ones included.
    """

    streams: tuple[str, ...]
    spans: tuple[Span, ...]
    passes: tuple[Pass, ...]

    @staticmethod
    def of(
        log: Iterable[Stretch], passes: Sequence[Pass], busy: Mapping[str, int], precisions: Sequence[str]
    ) -> Timeline:
        """The timeline of a device's log; `busy` has a key for each of its streams."""
        spans = sorted(_span(stretch, precisions) for stretch in log)
        spans += _waits([span for span in spans if span.stream == COMPUTE])
        streams = tuple(name for name in STREAMS if name in busy)
        ordered = sorted(spans, key=lambda span: (streams.index(span.stream), span.start_ns, span.end_ns))
        return Timeline(streams, tuple(ordered), tuple(passes))

    def cut(self, passes: Sequence[Pass]) -> Timeline:
        """The part from the first of these passes to the last; what reaches across its ends is kept whole."""
        start, end = passes[0].start_ns, passes[-1].end_ns
        kept = tuple(span for span in self.spans if span.end_ns > start and span.start_ns < end)
        return replace(self, spans=kept, passes=tuple(passes))

    @property
    def bounds(self) -> tuple[int, int]:
        """From the first pass's start to the last one's end."""
        return self.passes[0].start_ns, self.passes[-1].end_ns

    def on(self, stream: str) -> list[Span]:
        """The spans of one stream."""
        return [span for span in self.spans if span.stream == stream]

    def share(self, stream: str) -> float:
        """Of the time between the bounds, how much the stream worked."""
        start, end = self.bounds
        working = (span for span in self.on(stream) if span.work is not Work.WAIT)
        busy = sum(min(span.end_ns, end) - max(span.start_ns, start) for span in working)
        return busy / (end - start)


def _span(stretch: Stretch, precisions: Sequence[str]) -> Span:
    what, stream, times = stretch.what, stretch.stream, (stretch.start_ns, stretch.end_ns)
    if isinstance(what, ExpertKey):
        work = Work.EXPERT
        if stretch.nbytes:
            work = Work.PREFETCH if stretch.prefetch else Work.DEMAND
        precision = precisions[what.level]
        label = f"L{what.layer} E{what.expert} {precision}"
        return Span(
            stream, *times, work, label, what.layer, what.expert, what.level, precision, stretch.nbytes
        )
    if isinstance(what, int):
        return Span(stream, *times, Work.LAYER, f"L{what}", what)
    return Span(stream, *times, Work.OTHER, str(what))


def _waits(compute: Sequence[Span]) -> Iterator[Span]:
    """The gaps in the compute stream: its clock is the caller's, who computes or waits."""
    for before, after in pairwise(compute):
        if after.start_ns > before.end_ns:
            yield Span(COMPUTE, before.end_ns, after.start_ns, Work.WAIT, "wait", before.layer)
