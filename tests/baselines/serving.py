"""Requests served from real slots under a cache policy, and how often it hit."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from hobbit.api import HIGH, CacheComponent, Context, ExpertKey, Geometry, PastRequest, Records
from hobbit.runtime.residency import Residency

Choices = npt.NDArray[np.int64]
"""Experts [T, L, K] that the tokens of one request choose."""


def context_of(requests: Sequence[Choices], experts: int, past: Sequence[Choices] = ()) -> Context:
    """A context for serving `requests` one token at a time, with them as the future and a past to learn."""
    layers, top_k = requests[0].shape[1:]
    geometry = Geometry(layers=layers, experts=experts, top_k=top_k)
    base = experts * np.arange(layers)[:, None]
    future = np.concatenate([(chosen + base).ravel() for chosen in requests])
    known = [PastRequest(chosen, np.ones(chosen.shape, np.float32), None, 1) for chosen in past]
    return Context(geometry, ("native",), (400,), Records(geometry.shape), future=future, past=lambda: known)


def hit_ratio(
    component: CacheComponent,
    requests: Sequence[Choices],
    experts: int,
    slots: int,
    past: Sequence[Choices] = (),
) -> float:
    """Hits over demands, serving the requests in turn from one set of slots."""
    context = context_of(requests, experts, past)
    policy, records = component.build(context), context.records
    residency = Residency(context.shape, [policy.allocate(HIGH, slots, context.shape)], policy, staging=0)
    hits = demands = 0
    for chosen in requests:
        records.begin_sequence()
        policy.begin_sequence()
        for layers in chosen.tolist():
            records.begin_pass(1)
            for layer, row in enumerate(layers):
                policy.observe(layer, row, [1] * len(row))
                for expert in row:
                    records.use(layer * experts + expert, 1, HIGH)
                held = [expert for expert in row if residency.held(layer, expert)]
                for expert in held:
                    residency.block(ExpertKey(layer, expert, HIGH))
                for expert in set(row) - set(held):
                    residency.admit(ExpertKey(layer, expert, HIGH), layer)
                residency.release(layer)
                hits += len(held)
                demands += len(row)
    return hits / demands
