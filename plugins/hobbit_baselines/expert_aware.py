"""Which waiting tokens run together: Read-ME's batching by expert, where routes are known ahead."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from hobbit.api import Batch, BatcherComponent, Context, Effect


@dataclass
class ExpertAwareComponent(BatcherComponent):
    """Runs tokens together that share experts, from routes known ahead.

    Read-ME routes a token to one expert, the same in every layer, and keeps a queue for each expert: a batch
    takes the longest queue as far as its budget goes, then the longest of what is left, until it is full.

    Our reading for models that route every layer by itself: the next token of a batch is the one that adds
    the fewest experts to it, over all layers; among equals the one whose experts the most waiting tokens
    want, then the one with the lowest experts. With one route for all layers that is the same.
    """

    name: ClassVar[str] = "expert_aware"
    effect: ClassVar[Effect] = Effect.EXACT
    source: ClassVar[str] = "Read-ME, arXiv 2410.19123"

    def build(self, context: Context) -> ExpertAware:
        """The batcher."""
        return ExpertAware()


class ExpertAware:
    """Fills one batch after another, token by token."""

    def arrange(self, routes: npt.NDArray[np.int64], budget: int) -> list[Batch]:
        """Full batches, but for the last."""
        wanted = _wanted(routes)
        by_expert = np.lexsort(routes.reshape(len(routes), -1).T[::-1])  # the lowest experts first
        line = by_expert.tolist()
        batches = []
        while line:
            batch = _fill(wanted, line, min(budget, len(line)))
            batches.append(batch)
            line = [token for token in line if token not in set(batch)]
        return batches


def _fill(wanted: npt.NDArray[np.bool_], line: list[int], size: int) -> Batch:
    """`size` tokens of `line`, chosen one by one."""
    left = list(line)
    there = np.zeros(wanted.shape[1], bool)  # experts that the batch has
    batch: Batch = []
    while len(batch) < size:
        rows = wanted[left]  # [W', L * E]
        added = (rows & ~there).sum(axis=1)
        sought = (rows * rows.sum(axis=0)).sum(axis=1)  # by how many tokens, over its experts
        token = left.pop(int(np.lexsort((-sought, added))[0]))  # stable: ties keep the order of the line
        batch.append(token)
        there |= wanted[token]
    return batch


def _wanted(routes: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Which experts each token wants, [W, L * E']; E' is one more than the highest of them."""
    tokens, layers, _ = routes.shape
    wanted = np.zeros((tokens, layers, int(routes.max()) + 1), bool)
    np.put_along_axis(wanted, routes, True, axis=2)
    return wanted.reshape(tokens, -1)
