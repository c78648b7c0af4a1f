"""Residency: which expert copies are on the device, or on their way to it, and who has to go."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from hobbit.api import HIGH, Allocation, CachePolicy, ExpertKey, Job, RoutingShape
from hobbit.runtime.pool import Pool
from hobbit.runtime.staging import Staging

Place = tuple[Pool, int, Job]
"""A pool, a position in it, and what runs the copy there on one token: it waits there for every token."""


class Residency:
    """The map from expert copies to device slots. It asks the cache policy for victims and moves no bytes.

    Device slots of a level are numbered 0..S-1: first the pools', in layer order, then (high level only)
    the staging slots.
    """

    def __init__(
        self, shape: RoutingShape, allocations: Sequence[Allocation], policy: CachePolicy, staging: int
    ) -> None:
        self.policy = policy
        self._held = [[0] * shape.experts for _ in range(shape.layers)]  # [L][E]
        self._places: dict[ExpertKey, Place] = {}
        self._pools = [_pools(level, a, shape) for level, a in enumerate(allocations)]
        high = allocations[0].total
        self._staging = Staging(list(range(high, high + staging)))

    # Queries.

    def held(self, layer: int, expert: int) -> int:
        """Bit mask of the levels held: bit 0 high, bit 1 low; staged and arriving copies count."""
        return self._held[layer][expert]

    def held_in(self, layer: int) -> Sequence[int]:
        """`held` of every expert of a layer, [E]: read it at once, for it changes with the residency."""
        return self._held[layer]

    def slot(self, key: ExpertKey) -> int:
        """The device slot of a copy, in the cache or staged."""
        place = self._places.get(key)
        return self._staging.slot(key) if place is None else place[2].slot

    def has_room(self, key: ExpertKey) -> bool:
        """True if `key` would get an empty slot."""
        return not self._pools[key.level][key.layer].full

    def staged(self, key: ExpertKey) -> bool:
        """True if the copy waits in a staging slot."""
        return key in self._staging

    def high_slots(self) -> npt.NDArray[np.int32] | None:
        """The high-precision slot of every expert, [L, E]; None unless each has one in the cache."""
        layers, experts = len(self._held), len(self._held[0])
        if len(self._places) < layers * experts:
            return None
        slots = np.empty((layers, experts), np.int32)
        for layer in range(layers):
            for expert in range(experts):
                place = self._places.get(ExpertKey(layer, expert, HIGH))
                if place is None:
                    return None
                slots[layer, expert] = place[2].slot
        return slots

    # Mutations.

    def block(self, key: ExpertKey) -> None:
        """Keep a cached copy from eviction until its layer has run; a staged one needs no keeping."""
        self.block_all((key,))

    def block_all(self, keys: Iterable[ExpertKey]) -> None:
        """`block` each of them, in one call: a layer blocks half a dozen."""
        place_of = self._places.get
        for key in keys:
            place = place_of(key)
            if place is not None:
                pool, position, _ = place
                pool.blocked[position] = True

    def occupy(self, demanded: Mapping[ExpertKey, int]) -> list[Job]:
        """`block_all` of cached copies that are `demanded`, each for so many tokens; what is to be run."""
        places = self._places
        jobs = []
        for key, tokens in demanded.items():
            pool, position, job = places[key]
            pool.blocked[position] = True
            if tokens == 1:
                jobs.append(job)
            elif tokens:
                jobs.append(Job(key, job.slot, tokens))
        return jobs

    def release(self, layer: int) -> None:
        """`layer` has run: its copies may be evicted again."""
        for pools in self._pools:
            pools[layer].release(layer)
        self._staging.release()

    def release_all(self) -> None:
        """No layer is waited for any more (a pass begins, perhaps after one that broke off)."""
        for pools in self._pools:
            for pool in pools:
                pool.release_all()
        self._staging.release()

    def admit(self, key: ExpertKey, running: int | None) -> tuple[int, ExpertKey | None] | None:
        """Make room for `key`, give it the room and block it: (device slot, who was evicted or None).

        `running` is the layer that waits for the copy: it may take a masked slot, the one furthest ahead.
        None: a prefetch, which may not. Returns None if there is no slot to be had.
        """
        layer, expert, level = key  # once: each of its names is a call
        pool = self._pools[level][layer]
        position = pool.choose(key, self.policy) if pool.physical else None
        if position is None and running is not None:
            position = pool.furthest_masked(key, self.policy)
        if position is None:
            return None
        evicted = pool.keys[position]
        if evicted is not None:
            del self._places[evicted]
            self._drop_bit(evicted)
        pool.put(position, key)
        slot = pool.physical[position]
        self._places[key] = pool, position, Job(key, slot, 1)
        pool.blocked[position] = True
        self._held[layer][expert] |= 1 << level
        return slot, evicted

    def stage(self, key: ExpertKey) -> tuple[int, ExpertKey | None] | None:
        """Give `key` a staging slot: (device slot, who left or None); None if all are being served from."""
        oldest = self._staging.oldest() if self._staging.full else None
        if self._staging.full and oldest is None:
            return None
        if oldest is not None:
            self._staging.leave(oldest)
            self._drop_bit(oldest)
        self._held[key.layer][key.expert] |= 1 << key.level
        return self._staging.enter(key), oldest

    def unstage(self, key: ExpertKey) -> ExpertKey | None:
        """Move a demanded copy from staging into the cache by swapping slots; returns who was evicted.

        Where every cache slot is in use by its layer, the copy stays staged and is served from there.
        """
        admitted = self.admit(key, key.layer)
        if admitted is None:
            self._staging.pin(key)
            return None
        slot, evicted = admitted
        pool, position, _ = self._places[key]
        slot = pool.physical[position] = self._staging.swap(key, slot)
        self._places[key] = pool, position, Job(key, slot, 1)
        return evicted

    def drop(self, key: ExpertKey) -> None:
        """Forget a copy, cached or staged, that nobody is to use."""
        if key in self._staging:
            self._staging.leave(key)
            self._drop_bit(key)
            return
        pool, position, _ = self._places.pop(key)
        self._drop_bit(key)
        pool.clear(position)

    def residents(self, layer: int) -> list[ExpertKey]:
        """Cached copies of one layer, in the order in which they came."""
        return [key for key in self._places if key.layer == layer]

    def _drop_bit(self, key: ExpertKey) -> None:
        layer, expert, level = key
        self._held[layer][expert] &= ~(1 << level)


def _pools(level: int, allocation: Allocation, shape: RoutingShape) -> list[Pool]:
    """The pool of each layer; one and the same for all of them where it is global."""
    pools = []
    start = 0
    for size in allocation.slots:
        pools.append(Pool(level, list(range(start, start + size)), shape.experts, not allocation.per_layer))
        start += size
    return pools if allocation.per_layer else pools * shape.layers
