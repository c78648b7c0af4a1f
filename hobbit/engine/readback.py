"""Readback: what the host has to know of one layer's routing, in one copy from the device."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from hobbit.api import Routing


@dataclass(frozen=True, slots=True)
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
        """The routing that `values` [n], `packed` on the host, stands for. It keeps views of `values`."""
        tokens, chosen = self.tokens, self.tokens * self.top_k
        index = values[:chosen].astype(np.int64).reshape(tokens, self.top_k)
        weights = values[chosen : 2 * chosen].reshape(tokens, self.top_k)
        rest = values[2 * chosen :]
        logits = lookahead = None
        if self.has_logits:
            logits = rest[: tokens * self.experts].reshape(tokens, self.experts)
            rest = rest[tokens * self.experts :]
        if self.depth:
            lookahead = rest.reshape(self.depth, tokens, self.experts)
        return Routing(index, weights, logits, lookahead)
