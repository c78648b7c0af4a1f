"""The routing that a bench replays: the first layers of a trace, or routing generated with its statistics."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from hobbit.api import Past, PastRequest, RoutingShape
from hobbit.errors import ConfigError
from hobbit.trace import Trace, generate, measure
from hobbit.trace.cut import cut
from hobbit.trace.past import bundled_past, past_of


@dataclass(frozen=True, slots=True)
class BenchRouting:
    """One sequence of `prompt` tokens in a pass and `tokens` single ones; `past` is what may be learnt from.

    `source` says in words where it comes from, `synthetic` whether it was generated.
    """

    trace: Trace
    past: Past
    source: str

    @property
    def synthetic(self) -> bool:
        """True if no model made this routing."""
        return self.trace.header.synthetic


def bench_routing(
    trace: Trace, name: str, shape: RoutingShape, prompt: int, tokens: int, bundled: bool, seed: int = 0
) -> BenchRouting:
    """The routing for a model of `shape`: recorded where `trace` has these experts and enough layers.

    Raises:
        TraceError: if no sequence of the trace is long enough.
        ConfigError: if there would be nothing to replay.
    """
    if prompt < 1 or tokens < 1:
        raise ConfigError(f"task.prompt={prompt} and task.tokens={tokens} must each be 1 or more")
    header = trace.header
    if (header.experts, header.top_k) == (shape.experts, shape.top_k) and header.layers >= shape.layers:
        chosen = first_layers(cut(trace, prompt, tokens), shape.layers)
        past = _first_layers_of(bundled_past, shape.layers) if bundled else past_of(chosen.header)
        whole = shape.layers == header.layers
        return BenchRouting(chosen, past, f"{name}{'' if whole else f', its first {shape.layers} layers'}")
    made = generate(shape, measure(trace), [(prompt, tokens)], seed, header.model)
    return BenchRouting(made, past_of(made.header), f"generated with the statistics of {name}")


def first_layers(trace: Trace, layers: int) -> Trace:
    """The routing of the first `layers` MoE layers; the look-ahead ends where they do."""
    ahead = None
    if trace.lookahead is not None:
        ahead = trace.lookahead[:, :layers].copy()
        for layer in range(layers):
            ahead[:, layer, layers - 1 - layer :] = 0
    return replace(
        trace,
        header=replace(trace.header, layers=layers),
        experts=trace.experts[:, :layers],
        weights=trace.weights[:, :layers],
        logits=None if trace.logits is None else trace.logits[:, :layers],
        lookahead=ahead,
    )


def _first_layers_of(past: Past, layers: int) -> Past:
    def shortened() -> Sequence[PastRequest]:
        return [
            replace(
                request,
                experts=np.ascontiguousarray(request.experts[:, :layers]),
                weights=np.ascontiguousarray(request.weights[:, :layers]),
                predicted=None if request.predicted is None else request.predicted[:, :layers],
            )
            for request in past()
        ]

    return shortened
