"""Loaders that weigh the host against a copy: Fiddler, FreeToken, llama.cpp."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hobbit_baselines.balanced import BalancedComponent
from hobbit_baselines.fiddler import FiddlerComponent, Objective
from hobbit_baselines.host import HostComponent
from hypothesis import given
from hypothesis import strategies as st

from hobbit.api import HIGH, Action, Context, Demand, LoaderComponent, host_is_faster, least_maximum
from hobbit.errors import ConfigError

USE, LOAD, HOST = Action.USE, Action.LOAD, Action.HOST


class Costs:
    """A copy takes 100; the host 40 a token, the device 1."""

    def copy_ns(self, level: int) -> int:
        return 100

    def device_ns(self, level: int, tokens: int) -> int:
        return tokens

    def host_ns(self, level: int, tokens: int) -> int:
        return 40 * tokens

    def in_place_ns(self, level: int, tokens: int) -> int | None:
        return None


def actions(
    component: LoaderComponent, context: Context, tokens: Sequence[int], held: Sequence[int]
) -> list[Action]:
    """What becomes of demands for experts 0.. of so many tokens, in falling gate weight."""
    context.costs = Costs()
    demands = [Demand(expert, 0.5**expert, 0.0, count) for expert, count in enumerate(tokens)]
    decisions = component.build(context).resolve(0, demands, held)
    assert {decision.level for decision in decisions} == {HIGH}
    return [decision.action for decision in decisions]


def test_fiddler_compares_the_host_with_a_copy_expert_by_expert(context: Context) -> None:
    assert actions(FiddlerComponent(), context, [1, 2, 3, 9], [0, 0, 0, 1]) == [HOST, HOST, LOAD, USE]
    assert host_is_faster(Costs(), HIGH, 2)
    assert not host_is_faster(Costs(), HIGH, 3)


def test_fiddler_side_by_side_ends_when_the_slower_side_does(context: Context) -> None:
    side_by_side = FiddlerComponent(objective=Objective.max)
    # One by one all four would run on the host, in 160; two of them are copied in 202, one in 101.
    assert actions(FiddlerComponent(), context, [1, 1, 1, 1], [0] * 4) == [HOST] * 4
    assert actions(side_by_side, context, [1, 1, 1, 1], [0] * 4) == [LOAD, HOST, HOST, HOST]
    # The device is busy with a resident expert for as long as the host would gain.
    assert actions(side_by_side, context, [60, 1, 1, 1, 1], [1, 0, 0, 0, 0]) == [USE, *[HOST] * 4]


def test_balanced_copies_the_weightiest_while_the_host_runs_the_others(context: Context) -> None:
    assert actions(BalancedComponent(), context, [1] * 4, [0] * 4) == [LOAD, HOST, HOST, HOST]
    assert actions(BalancedComponent(), context, [1] * 7, [0] * 7) == [LOAD, LOAD, *[HOST] * 5]
    assert actions(BalancedComponent(), context, [9, 1, 9], [0, 0, 0]) == [LOAD, HOST, LOAD]
    assert actions(BalancedComponent(), context, [1, 1], [1, 1]) == [USE, USE]


def test_the_host_takes_all_misses_of_llama_cpp(context: Context) -> None:
    assert actions(HostComponent(), context, [1, 900], [0, 0]) == [HOST, HOST]
    assert actions(HostComponent(), context, [1, 1], [1, 0]) == [USE, HOST]


@pytest.mark.parametrize("component", [HostComponent(), BalancedComponent()], ids=lambda c: c.name)
def test_on_unified_memory_a_miss_is_loaded(component: LoaderComponent, context: Context) -> None:
    context.unified = True
    assert actions(component, context, [1, 1], [1, 0]) == [USE, LOAD]


def test_on_unified_memory_fiddler_decides_one_by_one(context: Context) -> None:
    context.unified = True
    assert actions(FiddlerComponent(objective=Objective.max), context, [1, 3], [0, 0]) == [HOST, LOAD]


@pytest.mark.parametrize("component", [FiddlerComponent(), BalancedComponent()], ids=lambda c: c.name)
def test_without_costs_there_is_nothing_to_weigh(component: LoaderComponent, context: Context) -> None:
    with pytest.raises(ConfigError, match=f"loader={component.name} needs a device with host costs"):
        component.build(context)


@given(
    st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), max_size=9),
    st.integers(0, 50),
)
def test_the_split_is_the_best_there_is(costs: list[tuple[int, int]], busy: int) -> None:
    host, copied = [pair[0] for pair in costs], [pair[1] for pair in costs]
    ends = [max(sum(host[:n]), busy + sum(copied[n:])) for n in range(len(costs) + 1)]
    assert least_maximum(host, copied, busy) == ends.index(min(ends))
