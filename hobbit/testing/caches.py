"""What every cache policy must keep."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from hobbit.api import HIGH, LOW, Allocation, CacheComponent, CachePolicy, ExpertKey, PoolView, RoutingShape
from hobbit.runtime.residency import Residency
from hobbit.testing.requirement import require
from hobbit.testing.scene import Scene

_LOW_SCORE = 0.5
"""Demands above this unimportance are served low, so that both levels see traffic."""


def check_cache(component: CacheComponent, scene: Scene) -> None:
    """Slots are shared out in full; scores are one number a slot (+inf: never), and asking changes nothing.

    Whoever is to be resident first exists, and is named once. The policy serves the scene's demands from
    real pools at several capacities; a twin evicts the same.

    Raises:
        ContractError: if a rule is broken.
    """
    shape = scene.shape
    everything = shape.layers * shape.experts
    served = (everything,) if component.unlimited else (shape.working_set, everything // 2)
    shared = served if component.unlimited else (*served, shape.top_k, shape.working_set + 1, everything)
    policy = component.build(scene.context())
    for slots in shared:
        for level in (HIGH, LOW):
            allocation = policy.allocate(level, slots, shape)
            _check_allocation(allocation, slots, shape)
            _check_first(policy.warm(level, allocation), shape)
    for slots in served:
        evicted, again = (_serve(component, scene, slots) for _ in range(2))
        require(evicted == again, f"equal policies asked alike evict alike; with {slots} slots they differ")


def _check_allocation(allocation: Allocation, slots: int, shape: RoutingShape) -> None:
    what = f"{slots} slots shared as {allocation.slots}"
    require(allocation.total == slots, f"every slot is given to somebody: {what}")
    require(len(allocation.slots) in (1, shape.layers), f"one pool or one a layer: {what}")
    require(min(allocation.slots) > 0, f"a layer without slots could not run: {what}")


def _check_first(first: Sequence[tuple[int, int]], shape: RoutingShape) -> None:
    require(len(set(first)) == len(first), f"nobody is placed twice before the first token: {first}")
    exist = all(layer in range(shape.layers) and expert in range(shape.experts) for layer, expert in first)
    require(exist, f"only experts that exist are placed before the first token: {first}")


def _serve(component: CacheComponent, scene: Scene, slots: int) -> list[ExpertKey]:
    """Everything evicted while the scene's demands are served."""
    context = scene.context()
    policy = _Watched(component.build(context))
    allocations = [policy.allocate(level, slots, scene.shape) for level in (HIGH, LOW)]
    residency = Residency(scene.shape, allocations, policy, staging=0)
    evicted: list[ExpertKey] = []
    for steps in scene.passes:
        tokens = steps[0].routing.tokens
        if tokens > 1:
            context.records.begin_sequence()
            policy.begin_sequence()
        context.records.begin_pass(tokens)
        for step in steps:
            demands = step.demands
            policy.observe(step.layer, [d.expert for d in demands], [d.tokens for d in demands])
            keys = [ExpertKey(step.layer, d.expert, int(d.score > _LOW_SCORE)) for d in demands]
            for key, demand in zip(keys, demands, strict=True):
                context.records.use(key.layer * scene.shape.experts + key.expert, demand.tokens, key.level)
            evicted += _bring(residency, keys)
            residency.release(step.layer)
    return evicted


def _bring(residency: Residency, keys: Sequence[ExpertKey]) -> list[ExpertKey]:
    """Make the keys of one layer resident as far as there is room; returns who had to go."""
    held = [key for key in keys if residency.held(key.layer, key.expert) >> key.level & 1]
    for key in held:
        residency.block(key)
    evicted = []
    for key in keys:
        admitted = None if key in held else residency.admit(key, key.layer)
        if admitted is not None and admitted[1] is not None:
            evicted.append(admitted[1])
    return evicted


class _Watched:
    """Hands every call on to the policy, and checks its scores."""

    def __init__(self, policy: CachePolicy) -> None:
        self._policy = policy
        self.keeps = policy.keeps
        self.allocate = policy.allocate
        self.begin_sequence = policy.begin_sequence
        self.observe = policy.observe
        self.warm = policy.warm

    def scores(self, pool: PoolView, incoming: ExpertKey) -> npt.NDArray[np.float64]:
        """The policy's scores, twice over."""
        experts, layers = pool.experts.copy(), pool.layers.copy()
        scores = self._policy.scores(pool, incoming)
        require(isinstance(scores, np.ndarray) and scores.dtype == np.float64, "scores are a float64 array")
        require(scores.shape == experts.shape, f"{len(experts)} residents got scores of shape {scores.shape}")
        require(bool((scores > -np.inf).all()), "scores are finite numbers, or +inf for never")
        again = self._policy.scores(pool, incoming)
        require(np.array_equal(scores, again), "asking for scores twice gives the same ones")
        same = np.array_equal(experts, pool.experts) and np.array_equal(layers, pool.layers)
        require(same, "scores leave the pool as it is")
        return scores
