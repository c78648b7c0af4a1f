"""What a peer is given, and the model that peers on transformers run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from statistics import median

import torch
from torch import nn
from transformers import PreTrainedModel

from hobbit.bench.clock import Backend
from hobbit.bench.drive import Timed, drive
from hobbit.bench.experts import filled_model
from hobbit.bench.run import Plan
from hobbit.engine.anatomy import find_layers
from hobbit.geometry import Geometry
from hobbit.trace import Trace


@dataclass(frozen=True, slots=True)
class PeerCase:
    """The geometry, the routing, and how much of the expert bytes (`fraction`) fits on the device."""

    geometry: Geometry
    trace: Trace
    backend: Backend
    plan: Plan
    fraction: float

    def shortened(self, layers: int) -> PeerCase:
        """The same with at most so many layers: for peers so slow that a few must stand for all."""
        return replace(self, geometry=replace(self.geometry, layers=min(layers, self.geometry.layers)))

    def model(self, experts_on: torch.device) -> PreTrainedModel:
        """A plain transformers model with all its weights; attention and the rest on the device."""
        positions = self.plan.prompt + self.plan.tokens
        return filled_model(self.geometry, self.backend.place, experts_on, positions)

    def timed(self, model: PreTrainedModel, tokens: int, repeats: int) -> list[Timed]:
        """So many sequences of `tokens`, after a warm-up of two."""
        place = self.backend.place
        drive(model, self.plan.prompt, min(2, tokens), place=place)
        return [drive(model, self.plan.prompt, tokens, place=place) for _ in range(repeats)]


def decode_speed(times: Sequence[Timed]) -> float:
    """Median tokens/s."""
    return median(timed.tokens_per_second for timed in times)


def prefill_speed(times: Sequence[Timed], prompt: int) -> float:
    """Median tokens/s of the prompt's pass."""
    return prompt / median(timed.prefill_ns for timed in times) * 1e9


class TracedRouters:
    """Hooks that let a plain model's routers answer with the experts and weights of a trace.

    With random weights a router chooses a few experts again and again, and any cache looks perfect.
    """

    def __init__(self, model: PreTrainedModel, trace: Trace) -> None:
        self._trace = trace
        self._row = 0
        self._tokens = 0
        layers = find_layers(model)
        self._last = layers[-1].index
        self._handles = [
            layer.router.register_forward_hook(self._answer(layer.index))
            for layer in layers
            if layer.router is not None
        ]

    def _answer(self, layer: int) -> Callable[..., tuple[torch.Tensor, ...]]:
        def replaced(
            router: nn.Module, args: tuple[torch.Tensor, ...], output: tuple[torch.Tensor, ...]
        ) -> tuple[torch.Tensor, ...]:
            logits, weights, experts = output
            tokens = len(experts)
            if tokens > 1 and layer == 0:
                self._row = 0
            rows = slice(self._row, self._row + tokens)
            if layer == self._last:
                self._row += tokens
            chosen = torch.from_numpy(self._trace.experts[rows, layer].astype("int64")).to(experts)
            return logits, torch.from_numpy(self._trace.weights[rows, layer]).to(weights), chosen

        return replaced

    def remove(self) -> None:
        """Let the routers answer for themselves."""
        for handle in self._handles:
            handle.remove()
