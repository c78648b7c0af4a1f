"""Pre-gated MoE: a layer's experts are chosen before it runs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from hobbit.api import Context, Effect, ResidencyView, RouterComponent, Routing, RoutingShape
from hobbit.errors import ConfigError


@dataclass
class PregateComponent(RouterComponent):
    """The router of layer l, put on the gate input of layer l - `look_ahead`, selects the experts of layer l.

    The first layer chooses for itself and for all layers up to `look_ahead`. Gate weights are the softmax
    over the chosen K, scaled to the sum of the weights that the layer's own router gave.

    The published gates are fine-tuned to choose ahead; here they are the layers' own, as the published
    training starts from, so that quality is what it is before fine-tuning.
    """

    name: ClassVar[str] = "pregate"
    effect: ClassVar[Effect] = Effect.QUALITY
    source: ClassVar[str] = "Pre-gated MoE, ISCA 2024, arXiv 2308.12066, section 4"

    look_ahead: int = 1

    def build(self, context: Context) -> Pregate:
        """The router transform.

        Raises:
            ConfigError: if `look_ahead` is not between 1 and 3.
        """
        if not 1 <= self.look_ahead <= 3:
            raise ConfigError(f"router.look_ahead={self.look_ahead} must be 1, 2 or 3 layers")
        return Pregate(self.look_ahead, context.shape)


class Pregate:
    """Keeps the logits of the layers to come; where there are none, a layer routes for itself."""

    needs_logits = False

    def __init__(self, look_ahead: int, shape: RoutingShape) -> None:
        self.depth = look_ahead
        self._top_k = shape.top_k
        self._decided: dict[int, npt.NDArray[np.float32]] = {}  # layer: logits [T, E]

    def transform(self, layer: int, routing: Routing, view: ResidencyView) -> Routing:
        """The routing decided earlier; decides that of a later layer."""
        if layer == 0:
            self._decided.clear()
        logits = self._decided.pop(layer, None)
        ahead = routing.lookahead
        if ahead is not None:
            for distance in range(1 if layer == 0 else self.depth, min(self.depth, len(ahead)) + 1):
                self._decided[layer + distance] = ahead[distance - 1]
        return routing if logits is None else self._choose(logits, routing)

    def _choose(self, logits: npt.NDArray[np.float32], routing: Routing) -> Routing:
        experts = np.argsort(-logits, axis=1, kind="stable")[:, : self._top_k]  # [T, K]
        chosen = np.take_along_axis(logits, experts, axis=1)
        odds = np.exp(chosen - chosen[:, :1])
        totals = routing.weights.sum(axis=1, keepdims=True)
        return replace(routing, experts=experts, weights=odds / odds.sum(axis=1, keepdims=True) * totals)
