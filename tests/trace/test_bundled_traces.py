"""The traces inside the package: small, whole, disjoint, and what their headers say."""

from __future__ import annotations

from importlib.resources import files

import numpy as np
import pytest

from hobbit.trace import Trace, bundled_trace, measure
from hobbit.trace.bundled import DOMAINS, PARTS
from hobbit.types import RoutingShape

LIMIT = 10_000_000
FOLDER = files("hobbit") / "bundled" / "traces"


def prompts_of(trace: Trace) -> list[list[int]]:
    return [trace.token_ids[p.start : p.stop].tolist() for p in trace.passes() if p.context == 0]


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("domain", DOMAINS)
def test_each_is_what_its_header_says(domain: str, part: str) -> None:
    trace = bundled_trace(domain, part)
    header = trace.header
    assert (header.domain, header.part, header.origin) == (domain, part, "live")
    assert header.shape == RoutingShape(32, 8, 2)
    assert (header.dtype, header.depth, len(header.fingerprint)) == ("bfloat16", 4, 64)
    assert trace.sequences == 6
    for span in trace.passes():
        assert span.context == 0 or span.stop - span.start == 1
    assert np.allclose(trace.weights.sum(axis=2), 1.0)


@pytest.mark.parametrize("domain", DOMAINS)
def test_the_router_chose_by_the_logits(domain: str) -> None:
    trace = bundled_trace(domain)
    for routing in trace.routings(next(trace.passes())):
        assert routing.logits is not None
        chosen = np.take_along_axis(routing.logits, routing.experts, axis=1)
        assert (chosen.min(axis=1) >= np.sort(routing.logits, axis=1)[:, -2]).all()
        soft = np.exp(chosen - chosen.max(axis=1, keepdims=True))
        assert np.allclose(soft / soft.sum(axis=1, keepdims=True), routing.weights, atol=1e-6)


def test_together_they_stay_small() -> None:
    assert sum(len(entry.read_bytes()) for entry in FOLDER.iterdir()) < LIMIT


def test_prompts_are_disjoint() -> None:
    every = [
        prompt for domain in DOMAINS for part in PARTS for prompt in prompts_of(bundled_trace(domain, part))
    ]
    pieces = [tuple(prompt[i : i + 16]) for prompt in every for i in range(0, len(prompt) - 15, 16)]
    assert len(set(map(tuple, every))) == len(every)
    assert len(set(pieces)) == len(pieces)


def test_look_ahead_knows_more_than_chance() -> None:
    for domain in DOMAINS:
        accuracy = measure(bundled_trace(domain)).lookahead
        assert accuracy[0] > accuracy[3] > 0.2
