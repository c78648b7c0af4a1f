"""Prefetches beside the host: no more than it hides, for the nearest layers first."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hobbit_baselines.beside_host import BesideHost, BesideHostComponent

from hobbit.api import Context, Demand, ExpertKey, Geometry, Lookahead, Records
from hobbit.errors import ConfigError

EXPERTS = 8


class Costs:
    """A copy takes 10, an expert on the host 8."""

    def copy_ns(self, level: int) -> int:
        return 10

    def device_ns(self, level: int, tokens: int) -> int:
        return 1

    def host_ns(self, level: int, tokens: int) -> int:
        return 8 * tokens

    def in_place_ns(self, level: int, tokens: int) -> int | None:
        return None


class Loader:
    levels = 2
    renormalise = False
    whole_layers = False

    def level_for(self, score: float) -> int | None:
        return None if score > 0.9 else 0

    def resolve(self, *_: object) -> Sequence[object]:
        raise AssertionError("prefetchers do not decide")


class View:
    def __init__(self, held: dict[int, set[int]]) -> None:
        self._held = held

    def held(self, layer: int, expert: int) -> int:
        return int(expert in self._held.get(layer, ()))

    def held_in(self, layer: int) -> list[int]:
        return [self.held(layer, expert) for expert in range(EXPERTS)]


class Ahead(Lookahead):
    depth = 2

    def __init__(self, *layers: Sequence[Demand]) -> None:
        self._layers = layers

    def demands(self, distance: int) -> Sequence[Demand]:
        return self._layers[distance - 1]


def demand(expert: int, score: float = 0.0) -> Demand:
    return Demand(expert, 0.5, score, 1)


def planned(here: Sequence[Demand], ahead: Ahead | None, held: dict[int, set[int]]) -> list[ExpertKey]:
    plan = BesideHost(2, 0.25, Loader(), Costs()).plan(3, here, ahead, View(held))
    return [] if plan is None else plan.fetch


AHEAD = Ahead([demand(1), demand(2)], [demand(4), demand(5)])


def test_one_expert_on_the_host_hides_one_copy() -> None:
    assert planned([demand(0), demand(7)], AHEAD, {3: {7}, 4: {1}}) == [ExpertKey(4, 2, 0)]


def test_two_hide_two_and_the_look_goes_on_past_a_layer_that_misses_nothing() -> None:
    assert planned([demand(0), demand(7)], AHEAD, {4: {1, 2}, 5: {4}}) == [ExpertKey(5, 5, 0)]
    assert planned([demand(0), demand(7)], AHEAD, {4: {1}}) == [ExpertKey(4, 2, 0)]


def test_nothing_is_brought_while_the_host_is_idle() -> None:
    assert planned([demand(0), demand(7)], AHEAD, {3: {0, 7}}) == []
    assert planned([demand(0, score=0.95)], AHEAD, {}) == []  # skipped, not run there


def test_without_look_ahead_there_is_nothing_to_bring() -> None:
    assert planned([demand(0)], None, {}) == []


def test_it_needs_to_know_what_the_host_costs() -> None:
    geometry = Geometry()
    context = Context(geometry, ("native",), (1,), Records(geometry.shape), 0, True)
    with pytest.raises(ConfigError, match="weighs the host against the link"):
        BesideHostComponent().build(context)
    with pytest.raises(ConfigError, match="looks nowhere"):
        BesideHostComponent(depth=0).build(context)
