"""The pairs of token and expert of one layer: which are run when, and where their outputs lie. No torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int32]


class Batch(NamedTuple):
    """Pairs to be run together, sorted by expert in the order asked for; their outputs are consecutive rows.

    `tokens` [P] of the pairs; those of the i-th expert are `bounds[i]` to `bounds[i + 1]`; `row` is the first
    row of outputs.
    """

    tokens: list[int] | Ints
    bounds: list[int]
    row: int


class LayerPairs:
    """The choices `experts` [T, K] of one layer; negative ones do not count. Each pair is taken once."""

    __slots__ = (
        "_bounds", "_flat", "_order", "_positions", "_row", "_rows", "_tokens", "_top_k", "served", "taken",
    )  # fmt: skip

    def __init__(self, experts: npt.NDArray[np.int64]) -> None:
        self._tokens, self._top_k = experts.shape
        self.taken = 0
        self.served = 0
        if self._tokens == 1:
            self._row: list[int] = experts[0].tolist()
            self._rows = [-1] * self._top_k
            return
        self._flat = experts.ravel()
        self._order = np.argsort(self._flat, kind="stable")  # by expert, then token
        distinct, starts = np.unique(self._flat[self._order], return_index=True)
        ends = [*starts[1:].tolist(), len(self._flat)]
        self._bounds = dict(zip(distinct.tolist(), zip(starts.tolist(), ends, strict=True), strict=True))
        self._positions = np.full(len(self._flat), -1, np.int32)

    def take(self, experts: Sequence[int]) -> Batch:
        """The pairs of these experts, to be run now; their rows follow those taken before."""
        first = self.taken
        self.served += len(experts)
        if self._tokens == 1:
            for place, expert in enumerate(experts):
                self._rows[self._row.index(expert)] = first + place
            self.taken += len(experts)
            return Batch([0] * len(experts), list(range(len(experts) + 1)), first)
        parts, bounds = [], [0]
        for expert in experts:
            start, end = self._bounds[expert]
            parts.append(self._order[start:end])
            bounds.append(bounds[-1] + end - start)
        pairs = np.concatenate(parts)
        self._positions[pairs] = np.arange(first, first + len(pairs), dtype=np.int32)
        self.taken += len(pairs)
        return Batch((pairs // self._top_k).astype(np.int32), bounds, first)

    def rows(self) -> list[int] | Ints:
        """The row of each choice's output, flat [T * K]; -1 for those that were not taken."""
        return self._rows if self._tokens == 1 else self._positions

    def choices(self) -> list[int] | Ints:
        """The experts, flat [T * K]."""
        return self._row if self._tokens == 1 else self._flat.astype(np.int32)

    @property
    def complete(self) -> bool:
        """Whether every choice has been taken, so that none can be skipped."""
        return bool(self.taken == self._tokens * self._top_k)
