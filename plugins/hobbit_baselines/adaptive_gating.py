"""AdapMoE's adaptive gating: a token whose later experts matter little does without them."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import accumulate
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from hobbit.api import Context, Effect, ResidencyView, RouterComponent, Routing
from hobbit.errors import ConfigError

Reals = npt.NDArray[np.float64]


@dataclass
class AdaptiveGatingComponent(RouterComponent):
    """The first expert alone, with weight 1, where ``(1 - a)^2 * S_l < T``.

    a is the first expert's share of the gate weight, S_l the sensitivity of layer l (one of `sensitivities`
    a layer; none: all alike) and T the `threshold`. With `threshold=null` T is calibrated such that a share
    `single_ratio` of (token, layer) is gated: on the past routing of other requests, else on the first pass
    of the run, which then goes ungated. T = 0 gates nothing, bit for bit.

    Our reading: the normalisation of S_l (benchmarks.tuning.sensitivity), hence the calibrated T in place of
    the published 0.005; for K > 2, rank j and all behind it are left out where ``r_j^2 * S_l < T``, r_j being
    their share of the gate weight, and `single_ratio` counts the ranks after the first; sensitivities of
    another number of layers are stretched by depth.
    """

    name: ClassVar[str] = "adaptive_gating"
    effect: ClassVar[Effect] = Effect.QUALITY
    source: ClassVar[str] = "AdapMoE, ICCAD 2024, arXiv 2408.10284, adaptive gating"

    sensitivities: list[float] = field(default_factory=list)
    threshold: float | None = None
    single_ratio: float = 0.25

    def build(self, context: Context) -> AdaptiveGating:
        """The router transform.

        Raises:
            ConfigError: if a sensitivity is not positive, or the threshold or the ratio makes no sense.
        """
        if not 0 <= self.single_ratio <= 1:  # so written, NaN fails too
            raise ConfigError(f"router.single_ratio={self.single_ratio} is not a share; give 0 to 1")
        if self.threshold is not None and not self.threshold >= 0:
            raise ConfigError(
                f"router.threshold={self.threshold} gates nothing; give 0 or more, or null to calibrate it"
            )
        if not all(0 < value < np.inf for value in self.sensitivities):
            raise ConfigError("router.sensitivities must be positive numbers, one for each layer")
        sensitivities = self._sensitivities(context)
        threshold = self.threshold
        past = context.past() if threshold is None else ()
        if past:
            losses = [_tails(p.weights)[1][..., 1:] ** 2 * sensitivities[:, None] for p in past]
            threshold = _quantile([values.ravel() for values in losses], self.single_ratio)
        return AdaptiveGating(sensitivities, threshold, self.single_ratio)

    def _sensitivities(self, context: Context) -> Reals:
        """One a layer, [L]."""
        given, layers = self.sensitivities, context.shape.layers
        if not given or len(given) == layers:
            return np.array(given or [1.0] * layers)
        context.notes.append(f"{len(given)} router.sensitivities are stretched over {layers} layers")
        depth = np.linspace(0, 1, layers)
        stretched: Reals = np.exp(np.interp(depth, np.linspace(0, 1, len(given)), np.log(given)))
        return stretched


class AdaptiveGating:
    """Marks the selections that a token keeps; `sensitivities` [L], `threshold` None: of the first pass."""

    needs_logits = False
    depth = 0

    def __init__(self, sensitivities: Reals, threshold: float | None, single_ratio: float) -> None:
        self._sensitivities = sensitivities
        self._threshold = threshold
        self._single_ratio = single_ratio
        self._first_pass: list[Reals] = []

    def transform(self, layer: int, routing: Routing, view: ResidencyView) -> Routing:
        """`routing` with the tail of some tokens' ranks not kept, and their weight given to the others."""
        if len(routing.weights) == 1 and self._threshold is not None:
            return self._one_token(layer, routing, self._threshold)
        order, tails = _tails(routing.weights)  # [T, K]
        losses = tails**2 * self._sensitivities[layer]
        if self._threshold is None and not self._learn(layer, losses[:, 1:]):
            return routing
        ranked = losses >= self._threshold
        ranked[:, 0] = True
        if ranked.all():
            return routing
        kept = np.empty_like(ranked)
        np.put_along_axis(kept, order, ranked, axis=1)
        return _keeping(routing, kept)

    def _one_token(self, layer: int, routing: Routing, threshold: float) -> Routing:
        """The same, sum by sum, without arrays of a few numbers: decode waits for it at every layer."""
        weights = routing.weights.tolist()[0]
        order = sorted(range(len(weights)), key=weights.__getitem__, reverse=True)  # ties: the first
        tails = list(accumulate(weights[place] for place in reversed(order)))
        total = tails[-1] or 1.0
        sensitivity = self._sensitivities.item(layer)
        kept = [True] * len(weights)
        for place, tail in zip(order[1:], tails[-2::-1], strict=True):
            share = tail / total
            kept[place] = share * share * sensitivity >= threshold
        return routing if all(kept) else _keeping(routing, np.array([kept]))

    def _learn(self, layer: int, losses: Reals) -> bool:
        """Collect the losses of the first pass; True once it is over and the threshold set."""
        if layer == 0 and self._first_pass:
            self._threshold = _quantile(self._first_pass, self._single_ratio)
            self._first_pass.clear()
            return True
        self._first_pass.append(losses.ravel())
        return False


def _tails(weights: npt.NDArray[np.float32]) -> tuple[npt.NDArray[np.int64], Reals]:
    """The order that ranks weights [..., K], and by rank the share of weight from there to the end."""
    order = np.argsort(-weights, axis=-1, kind="stable")
    ranked = np.take_along_axis(weights, order, axis=-1).astype(np.float64)
    tails = ranked[..., ::-1].cumsum(axis=-1)[..., ::-1]
    totals = tails[..., :1]
    return order, tails / np.where(totals == 0, 1.0, totals)


def _keeping(routing: Routing, kept: npt.NDArray[np.bool_]) -> Routing:
    weights = _without(routing.weights, kept)
    return Routing(routing.experts, weights, routing.logits, routing.lookahead, kept)


def _without(weights: npt.NDArray[np.float32], kept: npt.NDArray[np.bool_]) -> npt.NDArray[np.float32]:
    """`weights` [T, K] with those kept scaled to each token's sum; tokens that keep all stay as they are."""
    left = np.where(kept, weights, np.float32(0))
    totals = weights.sum(axis=1, keepdims=True)
    sums = left.sum(axis=1, keepdims=True)
    scaled = left * (totals / np.where(sums == 0, np.float32(1), sums))
    return np.where(kept.all(axis=1, keepdims=True), weights, scaled)


def _quantile(losses: list[Reals], share: float) -> float:
    """The threshold below which `share` of the losses lie; 0 where there are none (K = 1)."""
    values = np.concatenate(losses)
    return float(np.quantile(values, share)) if len(values) else 0.0
