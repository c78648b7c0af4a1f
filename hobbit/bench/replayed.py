"""ReplayedRouting: a model really runs, and the runtime is told a trace's routing instead of its routers'."""

from __future__ import annotations

import numpy as np
import torch

from hobbit.api import ExpertPayload, RecordedExperts, Routing, SettledExperts
from hobbit.engine.serving import LayerServer
from hobbit.trace import Trace
from hobbit.trace.trace import Pass


class ReplayedRouting:
    """A `LayerServer` between an attached model and `server`; `trace` is one sequence, replayed each time.

    The model's own routers still run and are still read back, so that their cost is in the clock; with random
    weights their choices collapse onto a few experts, and any cache would look perfect. Choices, weights,
    logits and look-ahead are replaced together. Where everything is resident and steps do not stop to ask,
    the model's own choices are computed, which takes the same time, and the trace's are counted; with `asks`
    every step stops. The weights lie on the device from the first layer on: a live run uploads none, and
    neither does what is measured.
    """

    def __init__(self, server: LayerServer, trace: Trace, asks: bool = False) -> None:
        self.depth = server.depth
        self._server = server
        self._trace = trace
        self._asks = asks
        self._passes: dict[int, Pass] = {span.context: span for span in trace.passes([0])}
        self._spans: dict[int, list[Routing]] = {}  # each is cut out of the trace once, as its weights are
        self._routings: list[Routing] = []
        self._span = Pass(0, 0, 0, 0)
        self._there: dict[int, list[torch.Tensor]] = {}
        self._weights: list[torch.Tensor] = []

    def begin_sequence(self) -> None:
        """A new sequence: the trace starts again."""
        self._server.begin_sequence()

    def begin_pass(self, tokens: int, context: int) -> None:
        """Turn to the trace's pass after `context` tokens. Raises ValueError if it has no such pass."""
        span = self._passes.get(context)
        if span is None or span.stop - span.start != tokens:
            raise ValueError(f"the trace has no pass of {tokens} tokens after {context}")
        if context not in self._spans:
            self._spans[context] = self._trace.routings(span, self._server.depth)
        self._routings, self._span = self._spans[context], span
        self._weights = self._there.get(context, [])
        self._server.begin_pass(tokens, context)

    def layer(self, layer: int, routing: Routing, payload: ExpertPayload | None) -> None:
        """Serve what the trace's router of this layer chose."""
        replayed = self._routings[layer]
        if payload is not None:
            if not self._weights:
                self._weights = self._weights_like(payload.weights)
            payload.reroute(replayed, self._weights[layer])
        self._server.layer(layer, replayed, payload)

    def settled(self, activation: str | None, tokens: int) -> SettledExperts | None:
        """See `LayerServer`."""
        return None if self._asks else self._server.settled(activation, tokens)

    def recorded(self, activation: str | None, tokens: int, top_k: int) -> RecordedExperts | None:
        """See `LayerServer`."""
        return self._server.recorded(activation, tokens, top_k)

    @property
    def hosts(self) -> bool:
        """See `LayerServer`."""
        return self._server.hosts

    def end_pass(self) -> None:
        """The pass is over."""
        self._server.end_pass()

    def _weights_like(self, routers: torch.Tensor) -> list[torch.Tensor]:
        """The pass's weights, [T, K] a layer, where those of the model's routers are."""
        if not self._there:
            weights = np.ascontiguousarray(self._trace.weights.transpose(1, 0, 2))  # [L, T, K]
            there = torch.from_numpy(weights).to(routers)
            for context, span in self._passes.items():
                self._there[context] = list(there[:, span.start : span.stop].unbind())
        return self._there[self._span.context]
