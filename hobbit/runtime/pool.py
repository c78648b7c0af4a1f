"""A pool: the slots of one level that one layer, or all layers, share."""

from __future__ import annotations

from math import inf

import numpy as np
import numpy.typing as npt

from hobbit.api import CachePolicy, ExpertKey, PoolView

EMPTY = -1


class Pool:
    """S slots of one precision level. Positions 0..S-1 are logical; `physical[i]` is the device's slot.

    A position is *blocked* while its expert is in use or masked for a coming layer. Queries and mutations
    are apart: `choose` only looks, `put` and `clear` change. `shared`: by the experts of several layers.
    """

    __slots__ = (
        "_free", "_items", "_mask", "_per_layer", "_shared", "blocked", "experts", "keys", "layers",
        "physical", "view",
    )  # fmt: skip

    def __init__(self, level: int, physical: list[int], experts_per_layer: int, shared: bool) -> None:
        size = len(physical)
        self.physical = physical
        self.experts: npt.NDArray[np.int64] = np.full(size, EMPTY, np.int64)
        self.layers: npt.NDArray[np.int64] = np.full(size, EMPTY, np.int64)
        self.blocked = bytearray(size)
        self._mask = np.frombuffer(self.blocked, np.bool_)  # the same memory, for whole-pool operations
        # Likewise: one item of a memoryview is written at half the cost of one of an array.
        self._items = self.experts.data, self.layers.data
        self.keys: list[ExpertKey | None] = [None] * size
        self.view = PoolView(level, self.experts, self.layers)
        self._free = list(range(size - 1, -1, -1))
        self._per_layer = experts_per_layer
        self._shared = shared

    def choose(self, incoming: ExpertKey, policy: CachePolicy) -> int | None:
        """Position for `incoming`: an empty one, else the least worthy resident that is not blocked.

        None if there is nobody whose worth is finite.
        """
        if self._free:
            return self._free[-1]
        scores = policy.scores(self.view, incoming)
        position = int(scores.argmin())
        if self.blocked[position]:
            scores = scores.copy()  # they may be the policy's own
            scores[self._mask] = np.inf
            position = int(scores.argmin())
        return position if scores.item(position) < inf else None

    def furthest_masked(self, incoming: ExpertKey, policy: CachePolicy) -> int | None:
        """The blocked position whose expert belongs to the layer furthest ahead of the incoming one's.

        None if there is none whose worth is finite.
        """
        if not len(self.layers):
            return None
        may_leave = self._mask & (policy.scores(self.view, incoming) < np.inf)
        layers = np.where(may_leave, self.layers, EMPTY)
        position = int(layers.argmax())
        return position if layers[position] > incoming.layer else None

    @property
    def full(self) -> bool:
        """True if somebody must leave for another to come."""
        return not self._free

    def put(self, position: int, key: ExpertKey) -> None:
        """`key` lives here from now on; whoever lived here is gone."""
        if self._free and self._free[-1] == position:
            self._free.pop()
        layer, expert, _ = self.keys[position] = key
        experts, layers = self._items
        experts[position] = layer * self._per_layer + expert
        layers[position] = layer

    def release(self, layer: int) -> None:
        """The experts of `layer` are no longer in use, nor masked."""
        if not self._shared:
            self.release_all()
        elif True in self.blocked:
            self._mask &= self.layers != layer

    def release_all(self) -> None:
        """Nobody is in use or masked."""
        self._mask.fill(False)

    def clear(self, position: int) -> None:
        """The position becomes empty and unblocked."""
        self.keys[position] = None
        self.experts[position] = EMPTY
        self.layers[position] = EMPTY
        self.blocked[position] = False
        self._free.append(position)
