"""Prefetching that measures itself: off where it does not pay, on where it does, and frozen by default."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from hobbit.api import (
    HIGH,
    Context,
    Demand,
    ExpertKey,
    Lookahead,
    PrefetcherComponent,
    PrefetchPlan,
    ResidencyView,
)
from hobbit.assembly import Assembly
from hobbit.config.compose import compose
from hobbit.runtime.governor import PROBE, WINDOW, GovernedPrefetcher, PrefetchGovernor
from hobbit.setup import Setup
from hobbit.tasks.replays import assembled
from hobbit.trace import bundled_trace
from hobbit.trace.replay import replay


@dataclass
class WrongComponent(PrefetcherComponent):
    """Brings experts of the next layer that nobody foresees."""

    name: ClassVar[str] = "wrong"

    def build(self, context: Context) -> Wrong:
        """The prefetcher."""
        return Wrong()


class Wrong:
    depth = 3
    staging = 0

    def begin_sequence(self) -> None:
        """Nothing to forget."""

    def plan(
        self, layer: int, demands: Sequence[Demand], lookahead: Lookahead | None, view: ResidencyView
    ) -> PrefetchPlan | None:
        """The least likely expert of the next layer, and one beyond it."""
        if lookahead is None or lookahead.depth < 2:
            return None
        chosen = {demand.expert for demand in lookahead.demands(1)}
        least = next((expert for expert in range(7, -1, -1) if expert not in chosen), 0)
        keys = [ExpertKey(layer + ahead, least, HIGH) for ahead in (1, 2)]
        return PrefetchPlan([key for key in keys if not view.held(key.layer, key.expert) & 1])


def served(setup: Setup, domain: str = "books") -> Assembly:
    geometry, trace = compose([]).geometry, bundled_trace(domain)
    with assembled(trace, setup, geometry, 256) as assembly:
        replay(trace, assembly.runtime)
    return assembly


def setup_of(*words: str) -> Setup:
    return compose([*words]).setup()


def test_useless_prefetches_are_turned_off_and_the_run_says_so() -> None:
    wrong = replace(setup_of("policy=lfu", "device=rtx4090"), prefetcher=WrongComponent())
    frozen, governed = served(wrong), served(replace(wrong, deterministic=False))
    without = served(setup_of("policy=lfu", "device=rtx4090"))
    assert governed.metrics.decode.time_ns < 0.9 * frozen.metrics.decode.time_ns
    assert governed.metrics.decode.time_ns < 1.1 * without.metrics.decode.time_ns
    assert sum(governed.metrics.decode.prefetches) < 0.2 * sum(frozen.metrics.decode.prefetches)
    assert governed.governor is not None
    first, second = governed.governor.log[:2]
    assert first.startswith(f"prefetching now reaches one layer after {PROBE + WINDOW} tokens: ")
    assert second.startswith(f"prefetching turned itself off after {PROBE + 2 * WINDOW} tokens: ")
    assert "ms a token more than it hid" in first
    assert "turned itself off" in governed.notes[-1]
    assert not [note for note in frozen.notes if "prefetching" in note]


def test_prefetches_that_pay_stay_on() -> None:
    words = ("policy=fate", "device=rtx4090")
    frozen, governed = served(setup_of(*words)), served(setup_of(*words, "deterministic=false"))
    assert governed.governor is not None
    assert not governed.governor.log
    assert governed.notes[-1].startswith("prefetching stayed on: ")
    assert "it hid" in governed.notes[-1]
    assert governed.metrics.decode.time_ns < 1.01 * frozen.metrics.decode.time_ns
    prompts = [sum(run.metrics.prefill.prefetches) for run in (frozen, governed)]
    assert prompts[1] > 0.9 * prompts[0] > 0, "the first probe comes after the first prompt"


def test_on_orin_a_prefetcher_that_costs_more_than_it_hides_is_found_out() -> None:
    words = ("policy=adapmoe", "device=orin")
    on, governed, off = (
        served(setup_of(*words, *more)).metrics.decode.time_ns
        for more in ([], ["deterministic=false"], ["prefetcher=none"])
    )
    assert off < 0.95 * on
    assert governed < 0.95 * on


def test_where_nothing_is_prefetched_there_is_nothing_to_say() -> None:
    governed = served(setup_of("policy=lru", "device=rtx4090", "deterministic=false"))
    frozen = served(setup_of("policy=lru", "device=rtx4090"))
    assert governed.notes == frozen.notes
    assert governed.metrics.decode == frozen.metrics.decode


def test_a_plan_is_cut_at_the_reach_but_not_what_serves_later_tokens() -> None:
    class Far:
        depth, staging = 3, 0

        def begin_sequence(self) -> None:
            """Nothing to forget."""

        def plan(self, layer, demands, lookahead, view):  # type: ignore[no-untyped-def]
            return PrefetchPlan(
                [ExpertKey(layer + n, 0, HIGH) for n in range(3)], [ExpertKey(layer + 2, 1, HIGH)]
            )

    governor = PrefetchGovernor(lambda: 0)
    prefetcher = GovernedPrefetcher(Far(), governor)
    assert (prefetcher.depth, prefetcher.staging) == (3, 0)

    def reached(reach: float) -> tuple[list[int], list[int]]:
        governor.reach = reach
        plan = prefetcher.plan(4, [], None, None)  # type: ignore[arg-type]
        assert plan is not None
        return [key.layer for key in plan.fetch], [key.layer for key in plan.keep]

    assert reached(float("inf")) == ([4, 5, 6], [6])
    assert reached(1) == ([4, 5], [])
    assert reached(0) == ([4], [])
