"""Path tables: how often an expert follows those that the layers before it chose."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from hobbit.api import PastRequest, RoutingShape

Integers = npt.NDArray[np.int64]
Number = TypeVar("Number", int, Integers)


class PathTable:
    """Counts of the experts of layer l by the experts of layers l-2 and l-1: EdgeMoE, arXiv 2308.14352.

    A path is the experts that a token chose in the layers before, one a layer (the published models are
    top-1; our reading for others: the heaviest one), the last `order` of them at most. A path that never
    occurred is looked up by its shorter end, down to the marginal of the layer.
    """

    def __init__(self, shape: RoutingShape, order: int = 2) -> None:
        self._experts = shape.experts
        self._order = order
        # Most paths never occur: each that does has a row, found by its length and number.
        self._rows: list[dict[int, int]] = [{} for _ in range(order + 1)]
        self._counts: npt.NDArray[np.float32] = np.zeros((64, shape.experts), np.float32)
        self._used = 0

    def learn_past(self, requests: Iterable[PastRequest]) -> None:
        """Count every token of past requests."""
        for request in requests:
            heaviest = request.weights.argmax(axis=2)[..., None]
            path = np.take_along_axis(request.experts, heaviest, axis=2)[..., 0]  # [T, L]
            for layer in range(path.shape[1]):
                self._learn_layer(layer, path[:, :layer], request.experts[:, layer])

    def learn(self, layer: int, path: Sequence[int], chosen: Sequence[int]) -> None:
        """Count one token: its choices in `layer` after `path`, whose last expert is of the layer before."""
        for length in range(min(self._order, len(path)) + 1):
            row = self._row(length, _number(layer, path[len(path) - length :], self._experts))
            self._counts[row, chosen] += 1

    def counts(self, layer: int, path: Sequence[int]) -> npt.NDArray[np.float32] | None:
        """Choices [E] of `layer` after the longest end of `path` that occurred; None: the layer never did."""
        for length in range(min(self._order, len(path)), -1, -1):
            row = self._rows[length].get(_number(layer, path[len(path) - length :], self._experts))
            if row is not None:
                counts: npt.NDArray[np.float32] = self._counts[row]
                return counts
        return None

    def _learn_layer(self, layer: int, path: Integers, chosen: Integers) -> None:
        """Count T tokens: `path` [T, layers before], `chosen` [T, K]."""
        start = np.full(len(path), layer)
        for length in range(min(self._order, path.shape[1]) + 1):
            numbers = _number(start, path[:, path.shape[1] - length :].T, self._experts)
            distinct, which = np.unique(numbers, return_inverse=True)
            rows = np.array([self._row(length, number) for number in distinct.tolist()])
            np.add.at(self._counts, (rows[which][:, None], chosen), 1)

    def _row(self, length: int, number: int) -> int:
        """The row of a path, a new one if need be."""
        row = self._rows[length].setdefault(number, self._used)
        if row == self._used:
            self._used += 1
            if row == len(self._counts):
                self._counts = np.concatenate([self._counts, np.zeros_like(self._counts)])
        return row


def _number(layer: Number, path: Iterable[Number], experts: int) -> Number:
    """The number of a path to `layer` among those of its length; one for each token, given arrays."""
    for expert in path:
        layer = layer * experts + expert
    return layer
