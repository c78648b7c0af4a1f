"""A timeline in the Trace Event Format, the JSON that Perfetto and chrome://tracing open.

The format: docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU, "Trace Event Format".
Complete events ("X") for spans, metadata events ("M") for names. Times there are microseconds; both ends of a
span are rounded down to whole ones, so that neighbours stay neighbours: Perfetto drops what overlaps.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from hobbit.report.timeline import Pass, Span, Timeline, Work

PROCESS = 1
TOKENS = "tokens"
"""The name of the thread that says which token is worked on."""

_MICROSECOND = 1000
Event = dict[str, Any]


def chrome_trace(timeline: Timeline, process: str, about: Mapping[str, str]) -> dict[str, Any]:
    """The whole file's content: `process` names what ran, `about` is kept under "otherData"."""
    threads = {name: number for number, name in enumerate((TOKENS, *timeline.streams), start=1)}
    events = [*_names(process, threads)]
    events += [_token(number, one, threads[TOKENS]) for number, one in enumerate(timeline.passes)]
    events += [_complete(span, threads[span.stream]) for span in timeline.spans]
    return {"displayTimeUnit": "ms", "otherData": dict(about), "traceEvents": events}


def _names(process: str, threads: Mapping[str, int]) -> Iterator[Event]:
    yield _metadata("process_name", 0, {"name": process})
    for name, number in threads.items():
        yield _metadata("thread_name", number, {"name": name})
        yield _metadata("thread_sort_index", number, {"sort_index": number})


def _metadata(name: str, thread: int, args: Mapping[str, Any]) -> Event:
    return {"name": name, "ph": "M", "pid": PROCESS, "tid": thread, "args": dict(args)}


def _token(number: int, one: Pass, thread: int) -> Event:
    args = {"pass": number, "tokens": one.tokens, "context": one.context}
    return _event(f"token {one.context}", "token", one.start_ns, one.end_ns, thread, args)


def _complete(span: Span, thread: int) -> Event:
    known = {"layer": span.layer, "expert": span.expert, "precision": span.precision}
    args = {name: value for name, value in known.items() if value is not None}
    if span.nbytes:
        args["bytes"] = span.nbytes
    args |= {"start_ns": span.start_ns, "duration_ns": span.end_ns - span.start_ns}
    name = span.label if span.work is not Work.LAYER else f"{span.label} {span.work.value}"
    return _event(name, span.work.value, span.start_ns, span.end_ns, thread, args)


def _event(name: str, kind: str, start_ns: int, end_ns: int, thread: int, args: Mapping[str, Any]) -> Event:
    start, end = start_ns // _MICROSECOND, end_ns // _MICROSECOND
    return {
        "name": name, "cat": kind, "ph": "X", "ts": start, "dur": end - start, "pid": PROCESS, "tid": thread,
        "args": dict(args),
    }  # fmt: skip
