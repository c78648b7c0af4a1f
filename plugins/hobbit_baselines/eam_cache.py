"""MoE-Infinity's cache: keep what past requests like this one used."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from hobbit.api import CacheComponent, Context, Effect, ExpertKey, PoolView, ScoredCache
from hobbit_baselines.activation_matrix import ActivationMatrices, matrices_of

_EPSILON = 1e-3
"""Tokens: it ranks, by their layers, experts that no such request used."""


@dataclass
class EamCacheComponent(CacheComponent):
    """Evicts the expert that past requests like this one used least, later layers first.

    The worth of expert e of layer l, where pEAM is the sum of the `nearest` past activation matrices:

        (pEAM[l][e] + eps) * (1 - l / L) / sum(pEAM[l])

    The collection starts from the training routing at hand and grows by one matrix a request.
    Our reading: a matrix covers a whole request and is compared as such, as in the authors' code; single
    iterations did no better on the bundled traces. How many are `nearest` is not published.
    """

    name: ClassVar[str] = "eam"
    effect: ClassVar[Effect] = Effect.HINT
    source: ClassVar[str] = "MoE-Infinity, arXiv 2401.14361"

    collection: int = 120
    nearest: int = 2

    def build(self, context: Context) -> EamCache:
        """The cache policy.

        Raises:
            ConfigError: if `nearest` is not between 1 and `collection`.
        """
        return EamCache(matrices_of(context, self.kind, self.collection, self.nearest))


class EamCache(ScoredCache):
    """One global pool ranked by the expected activations of the running request."""

    def __init__(self, matrices: ActivationMatrices) -> None:
        super().__init__()
        self._matrices = matrices
        matrices.cached = True
        self._expected: npt.NDArray[np.float32] | None = None
        self._worth: npt.NDArray[np.float64] = np.zeros(0)

    def begin_sequence(self) -> None:
        """A new request."""
        self._matrices.begin_request()

    def observe(self, layer: int, experts: Sequence[int], tokens: Sequence[int]) -> None:
        """Find the past requests that are nearest now."""
        self._matrices.observe(layer, experts, tokens)

    def scores(self, pool: PoolView, incoming: ExpertKey) -> npt.NDArray[np.float64]:
        """Worth of every resident, [S]."""
        expected = self._matrices.expected
        if expected is not self._expected:
            self._expected, self._worth = expected, _worth(expected)
        return self._worth[pool.experts]


def _worth(expected: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Worth [L * E] of all experts; see the component."""
    layers = len(expected)
    rows = np.maximum(expected.sum(axis=1, keepdims=True), 1.0)
    nearness = 1 - np.arange(layers)[:, None] / layers
    worth: npt.NDArray[np.float64] = ((expected + _EPSILON) * nearness / rows).ravel().astype(np.float64)
    return worth
