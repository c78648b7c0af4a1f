"""The runtime's promises, whatever the policy: every job finds its expert, every demand is served once."""

from __future__ import annotations

import numpy as np
import pytest
from hobbit_baselines.lfu import LfuComponent
from hobbit_baselines.lru import LruComponent
from hobbit_baselines.next_gate import NextGateComponent
from hobbit_baselines.no_cache import NoCacheComponent
from hobbit_baselines.no_prefetch import NoPrefetchComponent
from hobbit_baselines.on_demand import OnDemandComponent
from hobbit_paper.lcu import LcuComponent
from hobbit_paper.mixed_precision import MixedPrecisionComponent
from hobbit_paper.multidim import MultidimComponent
from hobbit_paper.stacked_gate import StackedGateComponent
from hypothesis import given, settings
from hypothesis import strategies as st

from hobbit.api import ExpertKey
from tests.runtime.bench import bench

ON_DEMAND, NO_PREFETCH, STACKED = OnDemandComponent(), NoPrefetchComponent(), StackedGateComponent()
LRU = LruComponent(per_layer=False)
LOADERS = [ON_DEMAND, MixedPrecisionComponent(), MixedPrecisionComponent(t1=0.3, t2=0.5)]
PREFETCHERS = [NO_PREFETCH, STACKED, NextGateComponent()]
CACHES = [
    LRU,
    LruComponent(per_layer=True),
    LfuComponent(),
    MultidimComponent(),
    LcuComponent(),
    NoCacheComponent(),
]


@pytest.mark.parametrize("loader", LOADERS, ids=lambda c: f"{c.name}-{getattr(c, 't1', '')}")
@pytest.mark.parametrize("prefetcher", PREFETCHERS, ids=lambda c: c.name)
@pytest.mark.parametrize("cache", CACHES, ids=lambda c: f"{c.name}-{getattr(c, 'per_layer', '')}")
@given(
    seed=st.integers(0, 2**16), slots=st.sampled_from([(3, 1), (5, 3), (12, 12)]), window=st.integers(0, 2)
)
@settings(max_examples=8, deadline=None)
def test_every_demand_is_served_once_from_its_own_slot(
    loader, prefetcher, cache, seed, slots, window
) -> None:  # type: ignore[no-untyped-def]
    rng = np.random.default_rng(seed)
    run = bench(loader, prefetcher, cache, slots, window=window)
    for tokens in (3, 1, 1, 2, 1):
        run.runtime.begin_pass(tokens, 0)
        for layer in range(3):
            experts = [rng.choice(4, 2, replace=False).tolist() for _ in range(tokens)]
            ahead = [rng.choice(4, 2, replace=False).tolist() for _ in range(2)]
            event = run.step(layer, experts, ahead)
            skipped = sum(decision.action == 2 for decision in event.decisions)
            demanded = sorted({e for row in experts for e in row})
            assert sorted(d.expert for d in event.demands) == demanded
            assert len({e for e, _ in run.device.ran}) == len(run.device.ran) == len(demanded) - skipped
        run.runtime.end_pass()


def test_urgent_copies_go_before_prefetches_and_residents_run_first() -> None:
    run = bench(ON_DEMAND, STACKED, LRU, slots=(6,))
    run.runtime.begin_pass(1, 0)
    run.step(0, [[0, 1]], [[2, 3]])
    run.step(1, [[2, 0]], [[1, 2]])
    assert run.device.calls == [
        ("load", ExpertKey(0, 0, 0)),
        ("load", ExpertKey(0, 1, 0)),
        ("prefetch", ExpertKey(1, 2, 0)),
        ("prefetch", ExpertKey(1, 3, 0)),
        ("run", ExpertKey(0, 0, 0)),
        ("run", ExpertKey(0, 1, 0)),
        ("hurry", ExpertKey(1, 2, 0)),
        ("load", ExpertKey(1, 0, 0)),
        ("prefetch", ExpertKey(2, 1, 0)),
        ("prefetch", ExpertKey(2, 2, 0)),
        ("run", ExpertKey(1, 2, 0)),
        ("run", ExpertKey(1, 0, 0)),
    ]
    assert ("load", ExpertKey(1, 2, 0)) not in run.device.calls, "a demand waits for its own load in flight"


class Noted:
    """A payload that notes in the device's ledger when what is behind its layer may be queued."""

    def __init__(self, calls: list[tuple[str, object]]) -> None:
        self._calls = calls

    def proceed(self) -> None:
        self._calls.append(("proceed", None))

    def skip(self, expert: int) -> None:
        self._calls.append(("skip", expert))


@pytest.mark.parametrize("slots", [(6, 2), (3, 2)])
@pytest.mark.parametrize("loader", LOADERS, ids=lambda c: f"{c.name}-{getattr(c, 't1', '')}")
def test_on_queues_a_layer_goes_before_what_is_prefetched_behind_it(loader, slots) -> None:  # type: ignore[no-untyped-def]
    plain, queued = (bench(loader, STACKED, LRU, slots) for _ in range(2))
    queued.device.queues = True
    for run in (plain, queued):
        run.payload = Noted(run.device.calls)
        for token in range(4):
            run.runtime.begin_pass(1, token)
            for layer in range(3):
                experts = [(layer + token) % 4, (layer + 2 * token + 1 + token % 2) % 4]
                run.step(layer, [experts], [[token % 4, 3], [1, 2]][: 2 - layer] or None)
                calls = [name for name, _ in run.device.calls]
                if "prefetch" in calls:
                    first = run is queued
                    assert (calls.index("proceed") < calls.index("prefetch")) == first
                    assert not first or calls.index("run") < calls.index("proceed")
                run.device.calls.clear()
            run.runtime.end_pass()
    for one, other in zip(plain.events.all, queued.events.all, strict=True):
        assert (one.decisions, one.held, one.evicted) == (other.decisions, other.held, other.evicted)
        assert [copy.key for copy in one.loads] == [copy.key for copy in other.loads]
        assert [copy.key for copy in one.prefetches] == [copy.key for copy in other.prefetches]


def test_a_masked_expert_outlives_a_more_recent_one_and_is_freed_after_its_layer() -> None:
    run = bench(ON_DEMAND, STACKED, LRU, slots=(4,))
    run.runtime.begin_pass(1, 0)
    run.step(0, [[0, 1]], [[2, 3]])
    event = run.step(1, [[2, 3]], None)
    assert event.held == [1, 1]
    assert not event.loads
    event = run.step(2, [[0, 1]])
    assert {key.layer for key in event.evicted} == {0}


def test_when_all_slots_are_masked_the_load_takes_the_one_furthest_ahead_and_prefetches_are_dropped() -> None:
    look_two_ahead = StackedGateComponent(depth=2)
    run = bench(ON_DEMAND, look_two_ahead, LRU, slots=(3,), top_k=1)
    run.runtime.begin_pass(1, 0)
    run.step(0, [[0]], [[1], [2]])
    run.step(1, [[1]], [[2]])
    run.step(2, [[2]])
    run.runtime.begin_pass(2, 1)
    run.step(0, [[0], [0]], [[1], [2]])  # all resident: layers 1 and 2 are masked
    event = run.step(1, [[0], [3]], [[2]])
    assert event.evicted == [ExpertKey(0, 0, 0), ExpertKey(2, 2, 0)]
    assert event.dropped == 1
    assert not event.prefetches


def test_prefetches_wait_in_the_queue_and_are_dropped_once_their_layer_has_come() -> None:
    run = bench(ON_DEMAND, STACKED, LRU, slots=(6,), window=1)
    run.runtime.begin_pass(1, 0)
    first = run.step(0, [[0, 1]], [[2, 3]])
    assert [copy.key.expert for copy in first.prefetches] == [2]
    second = run.step(1, [[2, 3]])
    assert second.dropped == 1
    assert [copy.key.expert for copy in second.loads] == [3]


def test_a_staged_expert_enters_the_cache_only_when_used_and_without_a_second_copy() -> None:
    run = bench(ON_DEMAND, NextGateComponent(fetch=2), LRU, slots=(3,))
    run.runtime.begin_pass(1, 0)
    event = run.step(0, [[0, 1]], [[2, 3]])
    assert len(event.prefetches) == 2
    assert not event.evicted, "staging evicts nobody"
    event = run.step(1, [[2, 0]])
    assert [copy.key.expert for copy in event.first_uses] == [2]
    assert [copy.key.expert for copy in event.loads] == [0]
    assert len(event.evicted) == 1


def test_prefill_through_a_small_cache_is_served_in_waves() -> None:
    run = bench(ON_DEMAND, NO_PREFETCH, LRU, slots=(2,))
    run.runtime.begin_pass(2, 0)
    event = run.step(0, [[0, 1], [2, 3]])
    assert len(event.loads) == 4
    assert sorted(expert for expert, _ in run.device.ran) == [0, 1, 2, 3]


def test_a_cache_that_keeps_nothing_is_empty_after_each_layer() -> None:
    run = bench(ON_DEMAND, NO_PREFETCH, NoCacheComponent(), slots=(2,))
    for _ in range(2):
        run.runtime.begin_pass(1, 0)
        assert len(run.step(0, [[0, 1]]).loads) == 2
        run.runtime.end_pass()


def test_records_reset_with_the_sequence_and_residents_stay() -> None:
    run = bench(ON_DEMAND, NO_PREFETCH, LfuComponent(), slots=(6,))
    run.runtime.begin_pass(1, 0)
    run.step(0, [[0, 1]])
    assert run.runtime.records.uses.sum() == 2
    run.runtime.begin_sequence()
    assert run.runtime.records.uses.sum() == 0
    run.runtime.begin_pass(1, 0)
    assert not run.step(0, [[0, 1]]).loads


def test_copies_of_a_pass_that_broke_off_are_not_taken_for_arrived() -> None:
    run = bench(ON_DEMAND, NO_PREFETCH, LRU, slots=(6,))
    run.runtime.begin_pass(1, 0)
    run.step(0, [[0, 1]])
    run.step(1, [[0, 1]])
    run.runtime.end_pass()
    run.runtime.begin_pass(1, 1)
    run.device.breaks = True  # the resident expert fails while the copy of the other is under way
    with pytest.raises(RuntimeError, match="broke"):
        run.step(0, [[0, 3]])
    run.device.breaks = False
    run.runtime.begin_pass(1, 1)
    event = run.step(0, [[0, 3]])
    assert event.held == [1, 0]
    assert [copy.key.expert for copy in event.loads] == [3]
