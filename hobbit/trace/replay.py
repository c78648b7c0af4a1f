"""Replay: a trace through a runtime, with no model and no tensor maths."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from hobbit.errors import TraceError
from hobbit.runtime import Runtime, demands_from
from hobbit.trace.trace import Trace
from hobbit.types import RoutingShape


def replay(trace: Trace, runtime: Runtime, sequences: Iterable[int] | None = None) -> None:
    """Send the passes of the chosen sequences (all by default) through `runtime`.

    Raises:
        TraceError: if the trace has another shape than the runtime, lacks what its policy reads, or lacks a
            sequence.
    """
    _check_fit(trace, runtime)
    beginnings = set(trace.sequence_starts.tolist())
    for span in trace.passes(sequences):
        if span.start in beginnings:
            runtime.begin_sequence()
        runtime.begin_pass(span.stop - span.start, span.context, span.requests)
        for layer, routing in enumerate(trace.routings(span, runtime.depth)):
            runtime.layer(layer, routing, None)
        runtime.end_pass()


def future_of(trace: Trace, sequences: Iterable[int] | None = None) -> npt.NDArray[np.int64]:
    """Demands of the chosen sequences in order of use, flat ids `layer * E + expert`: what Belady knows."""
    flat: list[int] = []
    for span in trace.passes(sequences):
        for layer, routing in enumerate(trace.routings(span, 0)):
            base = layer * trace.header.experts
            flat += [base + demand.expert for demand in demands_from(routing)]
    return np.array(flat, np.int64)


def _check_fit(trace: Trace, runtime: Runtime) -> None:
    if trace.header.shape != runtime.shape:
        raise TraceError(
            f"the trace has {_words(trace.header.shape)}, the run {_words(runtime.shape)};"
            " choose the geometry of the model it was recorded from"
        )
    if trace.header.depth < runtime.depth:
        raise TraceError(
            f"the trace looks {trace.header.depth} layers ahead, the policy wants {runtime.depth};"
            " lower prefetcher.depth, choose another router, or record the trace with more"
        )
    if trace.logits is None and runtime.router.needs_logits:
        raise TraceError(
            "the trace has no router logits, which the router transform reads; record it with them"
        )


def _words(shape: RoutingShape) -> str:
    return f"{shape.layers} layers of {shape.experts} experts, top-{shape.top_k}"
