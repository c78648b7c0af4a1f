"""Past requests that components may learn from: never the routing that they are judged on."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, partial
from itertools import groupby
from operator import attrgetter

import numpy as np
import numpy.typing as npt

from hobbit.api.past import Past, PastRequest, no_past
from hobbit.trace.bits import to_floats
from hobbit.trace.bundled import DOMAINS, bundled_trace
from hobbit.trace.generate import generate
from hobbit.trace.header import TraceHeader
from hobbit.trace.statistics import RoutingStatistics
from hobbit.trace.trace import Trace
from hobbit.types import RoutingShape

_GENERATED = ((32, 32),) * 8
"""Prompt and generated tokens of each generated past request."""


@cache
def bundled_past() -> Sequence[PastRequest]:
    """The bundled train traces, all domains."""
    return tuple(request for domain in DOMAINS for request in past_requests(bundled_trace(domain, "train")))


def past_of(header: TraceHeader) -> Past:
    """What may be known beside a trace with this header, if the bundled model did not make it.

    Generated routing has a past generated with the same statistics and another seed; of a user's own model
    nothing is known.
    """
    if not header.synthetic or "statistics" not in header.details:
        return no_past
    statistics = RoutingStatistics.from_json(header.details["statistics"])
    return partial(_generated_past, header.shape, statistics, header.seed + 1)


@cache
def _generated_past(shape: RoutingShape, statistics: RoutingStatistics, seed: int) -> Sequence[PastRequest]:
    return tuple(past_requests(generate(shape, statistics, _GENERATED, seed)))


def past_requests(trace: Trace) -> list[PastRequest]:
    """Each sequence of `trace` as a past request; its prompt is the first pass."""
    experts = trace.experts.astype(np.int64)
    predicted = _predicted(trace)
    requests = []
    for _, group in groupby(trace.passes(), attrgetter("sequence")):
        passes = list(group)
        rows = slice(passes[0].start, passes[-1].stop)
        requests.append(
            PastRequest(
                experts[rows],
                trace.weights[rows],
                None if predicted is None else predicted[rows],
                passes[0].stop - passes[0].start,
                trace.header.domain,
            )
        )
    return requests


def _predicted(trace: Trace) -> npt.NDArray[np.int64] | None:
    """Top-K [T, L, K] of each layer by the look-ahead of the layer before; -1 for the first."""
    if trace.lookahead is None:
        return None
    ahead = to_floats(np.ascontiguousarray(trace.lookahead[:, :-1, 0]), trace.header.dtype)  # [T, L - 1, E]
    predicted = np.full(trace.experts.shape, -1, np.int64)
    predicted[:, 1:] = np.argsort(-ahead, axis=2, kind="stable")[..., : trace.header.top_k]
    return predicted
