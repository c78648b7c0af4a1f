"""Expert activation matrices: what MoE-Infinity knows of past requests, and what it expects of this one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from hobbit.api import Context, RoutingShape
from hobbit.errors import ConfigError

Counts = npt.NDArray[np.float32]


def matrices_of(context: Context, kind: str, collection: int, nearest: int) -> ActivationMatrices:
    """The activation matrices of the training routing, with the options of a component of this `kind`.

    A cache and a prefetcher of one run that ask alike are given the same.

    Raises:
        ConfigError: if `nearest` is not between 1 and `collection`.
    """
    if not 1 <= nearest <= collection:
        raise ConfigError(f"{kind}.nearest={nearest} must lie between 1 and {kind}.collection={collection}")

    def learned() -> ActivationMatrices:
        matrices = ActivationMatrices(context.shape, collection, nearest)
        matrices.learn(request.experts for request in context.past())
        return matrices

    return context.share((ActivationMatrices, collection, nearest), learned)


class ActivationMatrices:
    """A bounded collection of expert activation matrices (EAMs) and the one of the request that runs.

    An EAM [L, E] counts the tokens of a request that chose each expert. The collection holds `capacity` past
    ones at most; a full one replaces the member closest to the newcomer. `expected` is the sum of the
    `nearest` members by cosine on the rows that the running request has filled so far (MoE-Infinity, arXiv
    2401.14361, sections 4 and 5).

    Products with all members are kept up to date row by row, so that observing a layer costs O(K x capacity).
    One observer tells of a layer, and only one: `cached` says that it is a cache, which hears of it first.
    """

    cached = False

    def __init__(self, shape: RoutingShape, capacity: int, nearest: int) -> None:
        self._nearest = nearest
        self._members: Counts = np.zeros((shape.layers, shape.experts, capacity), np.float32)
        self._row_norms: Counts = np.zeros((shape.layers, capacity), np.float32)  # squared
        self._size = 0
        self._running: Counts = np.zeros((shape.layers, shape.experts), np.float32)
        self._filled = np.zeros(shape.layers, np.bool_)
        self._dots: Counts = np.zeros(capacity, np.float32)
        self._norms: Counts = np.zeros(capacity, np.float32)  # squared, over the filled rows
        self._chosen: bytes | None = None
        self.expected: Counts = np.ones((shape.layers, shape.experts), np.float32)
        """Sum [L, E] of the nearest members; ones while there are none. A new array whenever it changes."""

    def __len__(self) -> int:
        return self._size

    def learn(self, requests: Iterable[npt.NDArray[np.integer]]) -> None:
        """Collect past requests by their choices [T, L, K]."""
        layers, experts = self._running.shape
        for chosen in requests:
            flat = chosen + experts * np.arange(layers)[:, None]
            self._collect(np.bincount(flat.ravel(), minlength=layers * experts).reshape(layers, experts))
        self._chosen = None
        self._expect()

    def begin_request(self) -> None:
        """The running request, if it has begun, joins the collection; an empty one starts."""
        if self._filled.any():
            self._collect(self._running)
        self._running.fill(0)
        self._filled.fill(False)
        self._dots.fill(0)
        self._norms.fill(0)
        self._chosen = None
        self._expect()

    def observe(self, layer: int, experts: Sequence[int], tokens: Sequence[int]) -> None:
        """`layer` of the running request chose these experts, each for so many tokens."""
        chosen, counts = list(experts), np.array(tokens, np.float32)
        self._running[layer, chosen] += counts
        self._dots += counts @ self._members[layer, chosen]
        if not self._filled[layer]:
            self._filled[layer] = True
            self._norms += self._row_norms[layer]
        self._expect()

    def _expect(self) -> None:
        """Sum the nearest members, if they are others than before."""
        size = self._size
        if size == 0:
            return
        # The running matrix's own norm is the same for all members.
        likeness = self._dots[:size] / np.sqrt(np.maximum(self._norms[:size], 1))
        nearest = min(self._nearest, size)
        members = np.sort(np.argpartition(-likeness, nearest - 1)[:nearest])
        chosen = members.tobytes()
        if chosen != self._chosen:
            self._chosen = chosen
            self.expected = self._members[:, :, members].sum(axis=2)

    def _collect(self, matrix: npt.NDArray[np.number]) -> None:
        """Add a member; a full collection replaces the closest one."""
        layers, experts, capacity = self._members.shape
        place = self._size
        if place == capacity:
            dots = matrix.ravel() @ self._members.reshape(layers * experts, capacity)
            place = int((dots / np.sqrt(np.maximum(self._row_norms.sum(axis=0), 1))).argmax())
        else:
            self._size += 1
        self._members[:, :, place] = matrix
        self._row_norms[:, place] = (self._members[:, :, place] ** 2).sum(axis=1)
