"""Least recently used within slots that AdapMoE's dynamic programming shares among the layers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from hobbit.api import (
    HIGH,
    Allocation,
    CacheComponent,
    Context,
    Effect,
    PastRequest,
    Records,
    Router,
    Routing,
    RoutingShape,
)
from hobbit_baselines.lru import Lru
from hobbit_baselines.slot_allocation import Reals, allocate_by_cost, expected_loads


@dataclass
class LruDpComponent(CacheComponent):
    """LRU per layer; layers that gate or predict well get fewer slots.

    Slots are shared for the least expected on-demand loads a token (see `expected_loads`), from what past
    requests tell: how many experts a token keeps in each layer under this run's router, and how many of the
    experts predicted from the layer before were right. `prefetched=false` counts on no prefetching beside it.
    Without past requests every layer gets the same.

    Our reading: the model of expected loads holds while a layer can keep what a token uses, so that every
    layer gets K slots at least; where there are fewer, they are shared evenly.
    """

    name: ClassVar[str] = "lru_dp"
    effect: ClassVar[Effect] = Effect.HINT
    source: ClassVar[str] = "AdapMoE, ICCAD 2024, arXiv 2408.10284, adaptive caching"

    prefetched: bool = True

    def build(self, context: Context) -> LruDp:
        """The cache policy."""
        past, shape = context.past(), context.shape
        if not past:
            context.notes.append("cache=lru_dp knows no past requests: every layer gets as many slots")
            return LruDp(context.records, None)
        accuracy = prediction_accuracy(past, shape) if self.prefetched else np.zeros(shape.layers)
        kept = kept_shares(past, context.router, shape)
        return LruDp(context.records, expected_loads(kept, accuracy, shape.experts))


class LruDp(Lru):
    """`costs` [L, E + 1] are the loads of a layer with so many slots; None: share evenly."""

    def __init__(self, records: Records, costs: Reals | None) -> None:
        super().__init__(records, per_layer=True)
        self._costs = costs

    def allocate(self, level: int, slots: int, shape: RoutingShape) -> Allocation:
        """High slots by cost; low ones, and those that do not hold a token's experts, evenly."""
        if self._costs is None or level != HIGH or slots < shape.working_set:
            return super().allocate(level, slots, shape)
        return Allocation(allocate_by_cost(self._costs, slots, shape.top_k))


class _NothingHeld:
    """An empty device, of a model with E experts a layer."""

    def __init__(self, experts: int) -> None:
        self._nothing = [0] * experts

    def held(self, layer: int, expert: int) -> int:
        return 0

    def held_in(self, layer: int) -> Sequence[int]:
        return self._nothing


def kept_shares(past: Sequence[PastRequest], router: Router | None, shape: RoutingShape) -> Reals:
    """Shares of tokens that keep 1..K experts in each layer, [L, K], under `router`.

    A router that reads more than experts and weights is taken to keep them all.
    """
    shares = np.zeros((shape.layers, shape.top_k))
    if router is None or router.needs_logits or router.depth:
        shares[:, -1] = 1.0
        return shares
    nothing = _NothingHeld(shape.experts)
    for request in past:
        for layer in range(shape.layers):
            given = Routing(request.experts[:, layer].astype(np.int64), request.weights[:, layer])
            kept = router.transform(layer, given, nothing).kept
            counts = np.full(given.tokens, shape.top_k) if kept is None else kept.sum(axis=1)
            shares[layer] += np.bincount(counts, minlength=shape.top_k + 1)[1:]
    shares /= shares.sum(axis=1, keepdims=True)
    return shares


def prediction_accuracy(past: Sequence[PastRequest], shape: RoutingShape) -> Reals:
    """Share of predicted experts that were chosen, [L]; 0 for the first layer, and where none is known."""
    right, tokens = np.zeros(shape.layers), 0
    for request in past:
        if request.predicted is not None:
            chosen = (request.predicted[..., None] == request.experts[..., None, :]).any(axis=-1)  # [T, L, K]
            right += chosen.mean(axis=2).sum(axis=0)
            tokens += len(chosen)
    return right / max(tokens, 1)
