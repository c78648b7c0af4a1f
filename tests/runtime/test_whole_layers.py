"""A loader of whole layers: everything is brought and waited for, what was chosen runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from hobbit_baselines.lru import LruComponent
from hobbit_baselines.no_prefetch import NoPrefetchComponent
from hobbit_baselines.on_demand import OnDemand

from hobbit.api import Context, LoaderComponent
from hobbit.runtime import Metrics
from tests.runtime.bench import Bench, bench


class Whole(OnDemand):
    whole_layers = True


@dataclass
class WholeComponent(LoaderComponent):
    """Demand loading, all experts of a layer at once."""

    name: ClassVar[str] = "whole"

    def build(self, context: Context) -> Whole:
        return Whole()


def run_of(slots: int) -> Bench:
    run = bench(WholeComponent(), NoPrefetchComponent(), LruComponent(per_layer=False), slots=(slots,))
    run.runtime.begin_pass(1, 0)
    return run


def test_every_expert_is_loaded_and_waited_for_but_only_the_chosen_ones_run() -> None:
    run = run_of(slots=6)
    event = run.step(0, [[3, 1]])
    assert [(demand.expert, demand.tokens) for demand in event.demands] == [(3, 1), (1, 1), (0, 0), (2, 0)]
    assert [copy.key.expert for copy in event.loads] == [3, 1, 0, 2]
    assert not run.device.pending
    assert sorted(run.device.ran) == [(1, 1), (3, 1)]


def test_what_is_still_there_is_not_loaded_again() -> None:
    run = run_of(slots=6)
    run.step(0, [[3, 1]])
    event = run.step(1, [[0, 1]])
    assert len(event.loads) == 4
    assert event.evicted == [(0, 0, 0), (0, 2, 0)], "nobody used them: they count for the least"


def test_fewer_slots_than_experts_are_served_in_waves() -> None:
    run = run_of(slots=3)
    assert len(run.step(0, [[3, 1]]).loads) == 4
    assert sorted(run.device.ran) == [(1, 1), (3, 1)]


def test_unchosen_experts_are_no_selections() -> None:
    run = run_of(slots=6)
    metrics = Metrics((100,), run.device)
    metrics.begin_pass(1, 1)
    metrics.layer(run.step(0, [[3, 1]]))
    assert (metrics.decode.demands, metrics.decode.selections, metrics.decode.demand_bytes) == (4, 2, 400)
    assert run.runtime.records.uses.tolist()[:4] == [0, 1, 0, 1]
