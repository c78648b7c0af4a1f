"""Traces: recorded or generated routing, read and replayed without torch (docs/trace-format.md)."""

from __future__ import annotations

from hobbit.trace.bundled import bundled_trace
from hobbit.trace.file import read_trace, write_trace
from hobbit.trace.generate import generate
from hobbit.trace.header import TraceHeader
from hobbit.trace.recorder import TraceRecorder
from hobbit.trace.scores import selection_scores
from hobbit.trace.statistics import RoutingStatistics, measure
from hobbit.trace.trace import Pass, Trace

__all__ = [
    "Pass",
    "RoutingStatistics",
    "Trace",
    "TraceHeader",
    "TraceRecorder",
    "bundled_trace",
    "generate",
    "measure",
    "read_trace",
    "selection_scores",
    "write_trace",
]
