"""Readback: what the host has to know of one layer's routing, in one copy from the device."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch

from hobbit.api import Routing


@dataclass(frozen=True, slots=True, eq=False)
class _Views:
    """The parts of a readback's `values` [n] on the host, as `Routing` has them; `index` still in float32."""

    values: npt.NDArray[np.float32]
    index: npt.NDArray[np.float32]
    weights: npt.NDArray[np.float32]
    logits: npt.NDArray[np.float32] | None
    lookahead: npt.NDArray[np.float32] | None


@dataclass(slots=True, eq=False)
class Readback:
    """The router's answer for T tokens on the device, packed for the host.

    `packed` is float32 [n]: experts [T, K] (exact below 2^24), weights [T, K], then logits [T, E] and
    look-ahead [D, T, E] where there are any. Four copies of a few bytes each would cost four round trips.
    """

    packed: torch.Tensor
    tokens: int
    top_k: int
    experts: int
    has_logits: bool
    depth: int
    _views: _Views | None = field(default=None, init=False, repr=False)

    @staticmethod
    def pack(
        index: torch.Tensor,
        weights: torch.Tensor,
        logits: torch.Tensor | None,
        lookahead: torch.Tensor | None,
    ) -> Readback:
        """Pack `index` and `weights` [T, K], `logits` [T, E] and `lookahead` [D, T, E]."""
        parts = [index, weights]
        experts = 0
        if logits is not None:
            parts.append(logits)
            experts = logits.shape[-1]
        if lookahead is not None:
            parts.append(lookahead)
            experts = lookahead.shape[-1]
        packed = torch.cat([part.reshape(-1).float() for part in parts])
        depth = 0 if lookahead is None else len(lookahead)
        tokens, top_k = index.shape
        return Readback(packed, tokens, top_k, experts, logits is not None, depth)

    def routing(self, values: npt.NDArray[np.float32]) -> Routing:
        """The routing that `values` [n], `packed` on the host, stands for. It keeps views of `values`.

        A recorded step fills one and the same array each time: it is cut but once.
        """
        views = self._views
        if views is None or views.values is not values:
            views = self._views = self._cut(values)
        return Routing(views.index.astype(np.int64), views.weights, views.logits, views.lookahead)

    def _cut(self, values: npt.NDArray[np.float32]) -> _Views:
        tokens, chosen = self.tokens, self.tokens * self.top_k
        index = values[:chosen].reshape(tokens, self.top_k)
        weights = values[chosen : 2 * chosen].reshape(tokens, self.top_k)
        rest = values[2 * chosen :]
        logits = lookahead = None
        if self.has_logits:
            logits = rest[: tokens * self.experts].reshape(tokens, self.experts)
            rest = rest[tokens * self.experts :]
        if self.depth:
            lookahead = rest.reshape(self.depth, tokens, self.experts)
        return _Views(values, index, weights, logits, lookahead)
