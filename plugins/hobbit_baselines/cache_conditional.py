"""Cache-conditional experts: selection leans towards what is resident."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from hobbit.api import Context, Effect, ResidencyView, RouterComponent, Routing, RoutingShape
from hobbit.errors import ConfigError

Floats = npt.NDArray[np.float32]

_TOLERANCE = 1e-3


@dataclass
class CacheConditionalComponent(RouterComponent):
    """Adds ``lambda * mean logit range`` to the logits of resident experts, for selection only.

    `bonus` is the paper's lambda; the range (largest less smallest logit) is averaged over all tokens that
    passed the layer so far. The `top_j` first experts of the plain logits are always chosen. The chosen keep
    their original gate weights, renormalised where the model does so. For routers that take a softmax of
    their logits: a token whose experts are not the top K of its logits keeps its routing.
    """

    name: ClassVar[str] = "cache_conditional"
    effect: ClassVar[Effect] = Effect.QUALITY
    source: ClassVar[str] = "cache-conditional experts, arXiv 2412.00099"

    bonus: float = 0.5
    top_j: int = 1

    def build(self, context: Context) -> CacheConditional:
        """The router transform.

        Raises:
            ConfigError: if the bonus is negative, or `top_j` is not between 0 and K.
        """
        if not 0 <= self.bonus < np.inf:  # so written, NaN fails too
            raise ConfigError(f"router.bonus={self.bonus} must be a finite number from 0")
        if not 0 <= self.top_j <= context.shape.top_k:
            raise ConfigError(
                f"router.top_j={self.top_j} must lie between 0 and the top-{context.shape.top_k} of the model"
            )
        return CacheConditional(self.bonus, self.top_j, context.shape)


class CacheConditional:
    """Chooses anew, token by token; `bonus` 0 changes nothing."""

    needs_logits = True
    depth = 0

    def __init__(self, bonus: float, top_j: int, shape: RoutingShape) -> None:
        self._bonus = bonus
        self._top_j = top_j
        self._shape = shape
        self._ranges = np.zeros(shape.layers)  # sums over the tokens so far
        self._tokens = np.zeros(shape.layers)

    def transform(self, layer: int, routing: Routing, view: ResidencyView) -> Routing:
        """The K largest raised logits of each token; `routing` itself where that changes no selection."""
        logits = routing.logits
        if logits is None:
            return routing
        bonus = self._bonus * self._mean_range(layer, logits)
        resident = np.array([view.held(layer, expert) > 0 for expert in range(self._shape.experts)])
        order = np.argsort(-logits, axis=1, kind="stable")  # [T, E]
        raised = logits + np.float32(bonus) * resident
        np.put_along_axis(raised, order[:, : self._top_j], np.inf, axis=1)
        top_k = self._shape.top_k
        chosen = np.argsort(-raised, axis=1, kind="stable")[:, :top_k]
        changed = _differ(chosen, routing.experts) & ~_differ(order[:, :top_k], routing.experts)  # [T]
        if not changed.any():
            return routing
        experts, weights = routing.experts.copy(), routing.weights.copy()
        experts[changed] = chosen[changed]
        weights[changed] = _weights(logits[changed], routing, changed, chosen[changed])
        return replace(routing, experts=experts, weights=weights)

    def _mean_range(self, layer: int, logits: Floats) -> float:
        self._ranges[layer] += np.ptp(logits, axis=1).sum()
        self._tokens[layer] += len(logits)
        return float(self._ranges[layer] / self._tokens[layer])


def _differ(one: npt.NDArray[np.int64], other: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Which tokens choose other experts, [T], in whatever order."""
    differ: npt.NDArray[np.bool_] = (np.sort(one, axis=1) != np.sort(other, axis=1)).any(axis=1)
    return differ


def _weights(
    logits: Floats, routing: Routing, changed: npt.NDArray[np.bool_], chosen: npt.NDArray[np.int64]
) -> Floats:
    """Gate weights of the `chosen` [t, K] of the changed tokens, as this model makes them."""
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares = odds / odds.sum(axis=1, keepdims=True)
    given = routing.weights[changed]
    new: Floats = np.take_along_axis(shares, chosen, axis=1)
    if np.allclose(np.take_along_axis(shares, routing.experts[changed], axis=1), given, atol=_TOLERANCE):
        return new  # a softmax over all experts, not renormalised
    scaled: Floats = new / new.sum(axis=1, keepdims=True) * given.sum(axis=1, keepdims=True)
    return scaled
