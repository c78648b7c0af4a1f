"""MoE-Infinity's prefetching: bring what past requests like this one used in later layers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from hobbit.api import (
    HIGH,
    Context,
    Demand,
    Effect,
    ExpertKey,
    Lookahead,
    Prefetcher,
    PrefetcherComponent,
    PrefetchPlan,
    ResidencyView,
)
from hobbit.errors import ConfigError
from hobbit_baselines.activation_matrix import ActivationMatrices, matrices_of


@dataclass
class EamPrefetchComponent(PrefetcherComponent):
    """Fetches the `fetch` likeliest missing experts of later layers, by past requests like this one.

    After layer l expert e of layer i > l has the priority p[i][e] * (1 - (i - l) / L), where the rows of p
    are those of the sum of the `nearest` past activation matrices, each divided by its sum.

    Our reading: the published system leaves it to its link queue how much is fetched. Here, as a started copy
    is not interrupted, only experts whose priority promises more than `least` uses a token (top-K times the
    priority) are; on the bundled train traces less would cost more than it saves.
    """

    name: ClassVar[str] = "eam"
    effect: ClassVar[Effect] = Effect.HINT
    source: ClassVar[str] = "MoE-Infinity, arXiv 2401.14361"

    fetch: int = 1
    least: float = 0.2
    collection: int = 120
    nearest: int = 2

    def build(self, context: Context) -> EamPrefetch:
        """The prefetcher.

        Raises:
            ConfigError: if `fetch` is below 1, or `nearest` not between 1 and `collection`.
        """
        if self.fetch < 1:
            raise ConfigError(f"prefetcher.fetch={self.fetch} fetches nothing; use 1 or more")
        matrices = matrices_of(context, self.kind, self.collection, self.nearest)
        return EamPrefetch(matrices, self.fetch, self.least / context.shape.top_k)


class EamPrefetch(Prefetcher):
    """Follows the running request, and plans for all later layers at once; `least` is a priority."""

    def __init__(self, matrices: ActivationMatrices, fetch: int, least: float) -> None:
        self._matrices = matrices
        self._fetch = fetch
        self._least = least
        self._expected: npt.NDArray[np.float32] | None = None
        self._shares: npt.NDArray[np.float32] = np.zeros((0, 0), np.float32)  # [L, E], rows sum to 1

    def begin_sequence(self) -> None:
        """A new request."""
        self._matrices.begin_request()

    def plan(
        self, layer: int, demands: Sequence[Demand], lookahead: Lookahead | None, view: ResidencyView
    ) -> PrefetchPlan | None:
        """The likeliest experts of the layers after `layer` that are not on the device."""
        matrices = self._matrices
        if not matrices.cached:
            matrices.observe(layer, [d.expert for d in demands], [d.tokens for d in demands])
        if not len(matrices):
            return None
        if matrices.expected is not self._expected:
            expected = self._expected = matrices.expected
            self._shares = expected / np.maximum(expected.sum(axis=1, keepdims=True), 1)
        return PrefetchPlan(self._missing(layer, view))

    def _missing(self, layer: int, view: ResidencyView) -> list[ExpertKey]:
        """Up to `fetch` missing experts in falling priority."""
        layers, per_layer = self._shares.shape
        left = np.arange(layers - 1, 0, -1)[layer:, None] / layers  # 1 - (i - l) / L for i = l + 1 ...
        priorities = (self._shares[layer + 1 :] * left).ravel()
        missing: list[ExpertKey] = []
        likely = np.flatnonzero(priorities > self._least)
        for flat in likely[np.argsort(-priorities[likely], kind="stable")].tolist():
            if len(missing) == self._fetch:
                break
            later, expert = divmod((layer + 1) * per_layer + flat, per_layer)
            if not view.held(later, expert) & 1:
                missing.append(ExpertKey(later, expert, HIGH))
        return missing
