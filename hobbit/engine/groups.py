"""Which tokens chose which expert, worked out once per layer."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch

NOBODY = -1
"""In place of an expert: this selection does not count."""


class TokenGroups:
    """The pairs (token, rank) of `experts` [T, K], by expert; pairs with NOBODY are left out.

    Within an expert they come by rank, then token: the order of transformers' eager experts, whose matrix
    products therefore see the same rows in the same places.
    """

    __slots__ = ("_bounds", "_order", "_row", "_shape")

    def __init__(self, experts: npt.NDArray[np.int64]) -> None:
        self._shape = experts.shape
        if len(experts) == 1:
            self._row: list[int] = experts[0].tolist()
            return
        flat = experts.T.ravel()  # [K * T]
        self._order = np.argsort(flat, kind="stable")
        distinct, starts = np.unique(flat[self._order], return_index=True)
        ends = [*starts[1:].tolist(), len(flat)]
        self._bounds = dict(zip(distinct.tolist(), zip(starts.tolist(), ends, strict=True), strict=True))
        self._bounds.pop(NOBODY, None)

    @property
    def count(self) -> int:
        """Distinct experts chosen."""
        if self._shape[0] == 1:
            return len(self._row) - self._row.count(NOBODY)
        return len(self._bounds)

    def rank(self, expert: int) -> int:
        """Position of `expert` among the K of the only token (T = 1)."""
        return self._row.index(expert)

    def tokens(self, expert: int) -> torch.Tensor:
        """Tokens that chose `expert`, int64 [t]."""
        return torch.from_numpy(self._pairs(expert) % self._shape[0])

    def ranks(self, expert: int) -> torch.Tensor:
        """Position of `expert` among the K of each of `tokens`, int64 [t]."""
        return torch.from_numpy(self._pairs(expert) // self._shape[0])

    def without(self, experts: Sequence[int], weights: torch.Tensor) -> torch.Tensor:
        """`weights` [T, K] with those of `experts` taken out and the others scaled to keep each token's sum.

        A token that loses all its experts keeps weights of zero.
        """
        kept = weights.clone()
        for expert in experts:
            if self._shape[0] == 1:
                kept[0, self.rank(expert)] = 0
            else:
                kept[self.tokens(expert), self.ranks(expert)] = 0
        left = kept.sum(dim=-1, keepdim=True)
        scale = weights.sum(dim=-1, keepdim=True) / left
        return kept * torch.where(left == 0, torch.zeros_like(scale), scale)

    def _pairs(self, expert: int) -> npt.NDArray[np.int64]:
        start, end = self._bounds[expert]
        return self._order[start:end]
