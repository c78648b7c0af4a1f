"""Routing: what the traces themselves say of predictions, thresholds and loading."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from hobbit_paper.mixed_precision import MixedPrecisionComponent

from benchmarks.reproduction.claims import AHEAD, DECIDED, LOADING
from benchmarks.reproduction.row import Row
from benchmarks.reproduction.runs import Outcomes, Run, policy, total
from benchmarks.reproduction.section import Section
from hobbit.config.compose import compose
from hobbit.trace import bundled_trace, measure, selection_scores
from hobbit.trace.bundled import DOMAINS

TEXT = """\
Predictions: the share of first choices, over all test tokens and layers, that the gate of a later layer names
on this layer's gate input. Decisions: what HOBBIT's thresholds, calibrated on the train traces, want for the
selections of the test traces; a resident high copy then serves any of them. Loading share: demand loading
with no cache; the simulator's per-layer overhead was fitted to it."""


def runs() -> list[Run]:
    """Demand loading that keeps nothing."""
    return [run for device in LOADING for run in policy("on_demand", device)]


def section(outcomes: Outcomes) -> Section:
    """Predictions, decisions, loading."""
    return Section("Routing and loading", TEXT, (*_ahead(), *_decided(), *_loading(outcomes)))


def _ahead() -> Iterator[Row]:
    found = [measure(bundled_trace(domain)) for domain in DOMAINS]
    weights = [bundled_trace(domain).tokens for domain in DOMAINS]
    for distance, claim in enumerate(AHEAD):
        shares = [statistics.lookahead[distance] for statistics in found]
        ours = float(np.average(shares, weights=weights))
        by_domain = ", ".join(
            f"{name} {100 * share:.1f} %" for name, share in zip(DOMAINS, shares, strict=True)
        )
        yield Row.of(claim, ours, f"By domain: {by_domain}.")


def _decided() -> Iterator[Row]:
    loader = compose(["policy=hobbit"]).loader
    assert isinstance(loader, MixedPrecisionComponent)
    scores = np.concatenate([selection_scores(bundled_trace(domain), decode_only=True) for domain in DOMAINS])
    high, kept = float((scores <= loader.t1).mean()), float((scores <= loader.t2).mean())
    because = f"Thresholds {loader.t1:g} and {loader.t2:g} are the train traces', the share the test ones'."
    for claim, ours in zip(DECIDED, (high, kept - high, 1 - kept), strict=True):
        yield Row.of(claim, ours, because)


def _loading(outcomes: Outcomes) -> Iterator[Row]:
    for device, claim in LOADING.items():
        decode = total(outcomes, policy("on_demand", device)).decode
        yield Row.of(claim, decode.stall / decode.seconds, "The share is that of decoding.")
