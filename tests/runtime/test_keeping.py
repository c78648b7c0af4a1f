"""Residents for good: who is placed before the first token, and who never leaves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import pytest
from hobbit_baselines.no_prefetch import NoPrefetchComponent
from hobbit_baselines.on_demand import OnDemandComponent
from hobbit_paper.stacked_gate import StackedGateComponent

from hobbit.api import Allocation, CacheComponent, Context, ExpertKey, PoolView, ScoredCache
from hobbit.assembly import Assembly, assemble
from hobbit.config.compose import compose
from hobbit.errors import ConfigError
from hobbit.trace import RoutingStatistics, generate
from hobbit.trace.replay import replay
from tests.runtime.bench import bench


class Keep(ScoredCache):
    """Keeps `experts` of every layer for good, and places them first."""

    def __init__(self, experts: Sequence[int], context: Context) -> None:
        super().__init__()
        self._kept = experts
        self._shape = context.shape

    def warm(self, level: int, allocation: Allocation) -> Sequence[tuple[int, int]]:
        return [(layer, expert) for layer in range(self._shape.layers) for expert in self._kept]

    def scores(self, pool: PoolView, incoming: ExpertKey) -> npt.NDArray[np.float64]:
        return np.where(np.isin(pool.experts % self._shape.experts, self._kept), np.inf, 0.0)


@dataclass
class KeepComponent(CacheComponent):
    """Experts 0.. of every layer stay."""

    name: ClassVar[str] = "keep"
    count: int = 2

    def build(self, context: Context) -> Keep:
        return Keep(range(self.count), context)


def test_a_worth_of_infinity_never_leaves() -> None:
    run = bench(OnDemandComponent(), NoPrefetchComponent(), KeepComponent(), slots=(4,))
    for _ in range(3):
        run.runtime.begin_pass(1, 0)
        for layer in range(3):
            run.step(layer, [[0, 3]])
        run.runtime.end_pass()
    assert all(run.runtime.residency.held(layer, 0) for layer in range(3))
    assert {key.expert for event in run.events.all for key in event.evicted} == {3}


def test_a_masked_expert_of_infinite_worth_stays_too() -> None:
    run = bench(OnDemandComponent(), StackedGateComponent(), KeepComponent(count=1), slots=(2,), top_k=1)
    run.runtime.begin_pass(2, 0)
    run.step(0, [[3], [3]], [[0]])
    run.runtime.begin_pass(2, 2)
    event = run.step(0, [[3], [2]], [[0]])
    assert event.evicted == [ExpertKey(0, 3, 0)], "in a later wave, though the other slot was masked only"
    assert run.runtime.residency.held(1, 0)


def test_a_cache_that_keeps_every_slot_cannot_load() -> None:
    run = bench(OnDemandComponent(), NoPrefetchComponent(), KeepComponent(), slots=(2,))
    run.runtime.begin_pass(1, 0)
    run.step(0, [[0, 1]])
    with pytest.raises(ConfigError, match="keeps every slot that layer 1 could load into"):
        run.step(1, [[2, 3]])


STATISTICS = RoutingStatistics((0.25,), (0.5,), 0.7, (0.9,))


def assembled(cache: CacheComponent, memory: str) -> Assembly:
    config = compose(["policy=lru", "device=rtx4090", "geometry=mixtral_8x7b", f"memory.device={memory}"])
    return assemble(replace(config.setup(), cache=cache), config.geometry, tokens=64)


def test_placing_experts_first_is_said_and_charged_to_no_token() -> None:
    trace = generate(compose([]).geometry.shape, STATISTICS, ((4, 4),), seed=3)
    warm, cold = (assembled(KeepComponent(count=count), "100GB") for count in (8, 0))
    assert warm.notes == ["256 experts placed before the first token"]
    assert not cold.notes
    assert warm.report().now_ns == warm.report().stall_ns == warm.report().moved_bytes["link"] == 0
    for assembly in (warm, cold):
        replay(trace, assembly.runtime)
    assert warm.metrics.prefill.stall_ns == warm.metrics.prefill.demand_bytes == 0
    assert warm.metrics.prefill.time_ns < cold.metrics.prefill.time_ns
    assert warm.report().moved_bytes["link"] == 0 < cold.report().moved_bytes["link"]


def test_the_best_are_placed_as_far_as_there_is_room() -> None:
    assembly = assembled(KeepComponent(count=8), "24GB")
    slots = assembly.plan.slots[0]
    held = [assembly.runtime.residency.held(layer, expert) for layer in range(32) for expert in range(8)]
    assert held == [1] * slots + [0] * (256 - slots)
