"""What runs pairs of token and expert on slots: the kernels, or their reference in torch."""

from __future__ import annotations

from typing import Protocol

import torch


class PairKernels(Protocol):
    """The experts in the slots of one level. Calls queue work on the current stream and return.

    A pair's output does not depend on which other pairs are in the call.
    """

    def run(self, x: torch.Tensor, slots: torch.Tensor, tokens: torch.Tensor, out: torch.Tensor) -> None:
        """out[p] = the expert in slots[p] applied to x[tokens[p]]: x [T, d], slots and tokens int32 [P],
        out float32 [P, d]."""
        ...

    def run_grouped(
        self,
        x: torch.Tensor,
        slots: torch.Tensor,
        offsets: torch.Tensor,
        tokens: torch.Tensor,
        out: torch.Tensor,
    ) -> None:
        """The same for pairs sorted by expert: offsets[e] to offsets[e + 1] are those of the expert in
        slots[e]; slots int32 [n], offsets int32 [n + 1]."""
        ...


class Combine(Protocol):
    """Queues the weighted sum of pairs' outputs on the current stream."""

    def __call__(
        self,
        out: torch.Tensor,
        weights: torch.Tensor,
        experts: torch.Tensor,
        rows: torch.Tensor,
        final: torch.Tensor,
    ) -> None:
        """final[t] = sum over k of weights[t, k] * out[rows[t, k]] by ascending experts[t, k], rounded once;
        a negative row is left out. out float32 [R, d], weights [T, K], experts and rows int32 [T, K]."""
        ...
