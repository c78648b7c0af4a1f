"""Scenes: generated routing of a small model, as the runtime would present it to a component."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from hobbit.api import Context, Demand, Geometry, PastRequest, Records, Routing
from hobbit.runtime.demands import LogitsLookahead, demands_from
from hobbit.testing.stand_ins import FixedCosts, SplitLoader


def _small(name: str, layers: int, experts: int, top_k: int, dtype: str) -> Geometry:
    return Geometry(
        name,
        layers,
        experts,
        top_k,
        hidden=64,
        ffn=64,
        vocab=64,
        heads=2,
        kv_heads=1,
        head_dim=32,
        dtype=dtype,
    )


GEOMETRIES = (
    _small("2x3 top-1", 2, 3, 1, "float32"),
    _small("32x8 top-2", 32, 8, 2, "bfloat16"),
    _small("16x64 top-8", 16, 64, 8, "float16"),
)
"""Shapes that components are tried on: the smallest, Mixtral's, many small experts; a dtype each."""

PASSES = (4, 1, 1, 2, 1)
"""Tokens of the passes of a scene; each prefill (more than one token) begins a sequence."""

_DEPTH = 4
_NOISE = 0.5


@dataclass(frozen=True, slots=True)
class Step:
    """One layer of one pass. `lookahead` is None in the last layer, as there is nothing ahead."""

    layer: int
    routing: Routing
    demands: list[Demand]
    lookahead: LogitsLookahead | None


class Scene:
    """Two short sequences through a model of this geometry; the same for the same seed."""

    def __init__(self, geometry: Geometry, seed: int = 0) -> None:
        self.geometry = geometry
        self.shape = geometry.shape
        random = np.random.default_rng(seed)
        self.passes = [self._steps(tokens, random) for tokens in PASSES]

    def context(self, levels: int = 2) -> Context:
        """A fresh context with `levels` precisions, and everything that any component may ask for."""
        context = Context(
            self.geometry, ("native", "int4")[:levels], (24576, 7168)[:levels], Records(self.shape)
        )
        context.costs = FixedCosts()
        context.loader = SplitLoader(levels)
        context.future = self.future()
        context.past = self.past
        return context

    def past(self) -> Sequence[PastRequest]:
        """The scene as one request, whose layers were all foreseen."""
        experts, weights = (
            np.concatenate(
                [np.stack([getattr(s.routing, name) for s in steps], axis=1) for steps in self.passes]
            )
            for name in ("experts", "weights")
        )  # [T, L, K]
        predicted = experts.copy()
        predicted[:, 0] = -1
        return (PastRequest(experts, weights, predicted, PASSES[0], "scene"),)

    def future(self) -> npt.NDArray[np.int64]:
        """Flat ids of all demands, in order."""
        experts = self.shape.experts
        return np.array(
            [
                step.layer * experts + d.expert
                for steps in self.passes
                for step in steps
                for d in step.demands
            ],
            np.int64,
        )

    def steps(self) -> Iterator[Step]:
        """All steps, pass by pass."""
        for steps in self.passes:
            yield from steps

    def _steps(self, tokens: int, random: np.random.Generator) -> list[Step]:
        layers, experts = self.shape.layers, self.shape.experts
        logits = random.normal(size=(layers, tokens, experts)).astype(np.float32)
        steps = []
        for layer in range(layers):
            ahead = logits[layer + 1 : layer + 1 + _DEPTH]
            guess = ahead + _NOISE * random.normal(size=ahead.shape).astype(np.float32)
            routing = self._route(logits[layer], guess)
            lookahead = LogitsLookahead(guess, self.shape.top_k, len(ahead)) if len(ahead) else None
            steps.append(Step(layer, routing, demands_from(routing), lookahead))
        return steps

    def _route(self, logits: npt.NDArray[np.float32], ahead: npt.NDArray[np.float32]) -> Routing:
        experts = np.argsort(-logits, axis=1, kind="stable")[:, : self.shape.top_k]  # [T, K]
        chosen = np.exp(np.take_along_axis(logits, experts, axis=1))
        return Routing(experts, chosen / chosen.sum(axis=1, keepdims=True), logits, ahead)


@cache
def scenes() -> tuple[Scene, ...]:
    """A scene of each geometry; they are only read, so all checks share them."""
    return tuple(Scene(geometry) for geometry in GEOMETRIES)
