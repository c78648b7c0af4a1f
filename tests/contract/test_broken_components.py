"""The contract suite notices each rule that a component breaks, and says which."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import pytest

from hobbit.api import (
    Action,
    Allocation,
    CacheComponent,
    Component,
    Context,
    Decision,
    Demand,
    Effect,
    ExpertKey,
    LoaderComponent,
    Lookahead,
    PoolView,
    PrefetcherComponent,
    PrefetchPlan,
    ResidencyView,
    RouterComponent,
    Routing,
    RoutingShape,
    ScoredCache,
)
from hobbit.testing import ContractError, check_component


class _Cache(ScoredCache):
    """A policy with one fault."""

    def __init__(self, fault: str) -> None:
        super().__init__()
        self.fault = fault
        self.random = np.random.default_rng()

    def allocate(self, level: int, slots: int, shape: RoutingShape) -> Allocation:
        return (
            Allocation((slots - 1,)) if self.fault == "allocation" else super().allocate(level, slots, shape)
        )

    def warm(self, level: int, allocation: Allocation) -> Sequence[tuple[int, int]]:
        return {"placed twice": [(0, 1), (0, 1)], "placed nowhere": [(99, 0)]}.get(self.fault, [(0, 1)])

    def scores(self, pool: PoolView, incoming: ExpertKey) -> npt.NDArray[np.float64]:
        if self.fault == "pool":
            pool.layers[0] += 1
        if self.fault == "finite":
            return np.full(len(pool.experts), np.nan)
        if self.fault == "shape":
            return np.zeros(len(pool.experts) + 1)
        if self.fault == "random":
            return self.random.random(len(pool.experts))
        return np.zeros(len(pool.experts))


@dataclass
class BrokenCache(CacheComponent):
    """A cache with one fault."""

    name: ClassVar[str] = "broken"
    fault: str = "none"

    def build(self, context: Context) -> _Cache:
        return _Cache(self.fault)


class _Loader:
    renormalise = False
    whole_layers = False

    def __init__(self, fault: str) -> None:
        self.fault = fault
        self.levels = 3 if fault == "levels" else 2

    def level_for(self, score: float) -> int | None:
        rising = self.fault == "monotone"
        return int((score > 0.5) != rising)

    def resolve(self, layer: int, demands: Sequence[Demand], held: Sequence[int]) -> list[Decision]:
        action = Action.USE if self.fault == "use" else Action.LOAD
        decisions = [Decision(action, 0)] * len(demands)
        return decisions[1:] if self.fault == "count" else decisions


@dataclass
class BrokenLoader(LoaderComponent):
    """A loader with one fault; the fault "hint" is that it claims to be lossless."""

    name: ClassVar[str] = "broken"
    effect: ClassVar[Effect] = Effect.QUALITY
    fault: str = "none"

    def build(self, context: Context) -> _Loader:
        return _Loader(self.fault)


@dataclass
class FalseHint(BrokenLoader):
    """Lowers precision and calls itself a hint."""

    effect: ClassVar[Effect] = Effect.HINT


class _Prefetcher:
    depth = 1
    staging = 0

    def __init__(self, fault: str) -> None:
        self.fault = fault

    def begin_sequence(self) -> None:
        return

    def plan(
        self, layer: int, demands: Sequence[Demand], lookahead: Lookahead | None, view: ResidencyView
    ) -> PrefetchPlan | None:
        if lookahead is None:
            return None
        ahead = {"past": layer, "deep": layer + 2}.get(self.fault, layer + 1)
        expert = 10_000 if self.fault == "expert" else 0
        if self.fault == "keep":
            return PrefetchPlan(keep=[ExpertKey(ahead, expert, 0)])
        missing = self.fault in ("held", "expert", "deep") or not view.held(ahead, expert) & 1
        fetches = [ExpertKey(ahead, expert, 0)] * (2 if self.fault == "twice" else 1)
        return PrefetchPlan(fetches if missing else [])


@dataclass
class BrokenPrefetcher(PrefetcherComponent):
    """A prefetcher with one fault."""

    name: ClassVar[str] = "broken"
    fault: str = "none"

    def build(self, context: Context) -> _Prefetcher:
        return _Prefetcher(self.fault)


class _Router:
    needs_logits = False
    depth = 0

    def __init__(self, fault: str) -> None:
        self.fault = fault

    def transform(self, layer: int, routing: Routing, view: ResidencyView) -> Routing:
        if self.fault == "in place":
            routing.weights[:] = 0
        if self.fault == "hint":
            return Routing(routing.experts, routing.weights * 2)
        if self.fault == "expert":
            return Routing(routing.experts + 1000, routing.weights)
        if self.fault == "shape":
            return Routing(routing.experts[:, 1:], routing.weights[:, 1:])
        if self.fault == "kept":
            return Routing(routing.experts, routing.weights, kept=np.zeros(routing.experts.shape, bool))
        return routing


@dataclass
class BrokenRouter(RouterComponent):
    """A router with one fault."""

    name: ClassVar[str] = "broken"
    fault: str = "none"

    def build(self, context: Context) -> _Router:
        return _Router(self.fault)


@pytest.mark.parametrize(
    "component", [BrokenCache(), BrokenLoader(), BrokenPrefetcher(), BrokenRouter()], ids=lambda c: c.kind
)
def test_without_a_fault_they_pass(component: Component) -> None:
    check_component(component)


@pytest.mark.parametrize(
    ("component", "rule"),
    [
        (BrokenCache(fault="allocation"), "every slot is given"),
        (BrokenCache(fault="pool"), "leave the pool"),
        (BrokenCache(fault="finite"), "finite"),
        (BrokenCache(fault="shape"), "got scores of shape"),
        (BrokenCache(fault="random"), "twice gives the same"),
        (BrokenCache(fault="placed twice"), "placed twice"),
        (BrokenCache(fault="placed nowhere"), "experts that exist are placed"),
        (BrokenLoader(fault="levels"), "levels is 1 or 2"),
        (BrokenLoader(fault="monotone"), "higher score"),
        (BrokenLoader(fault="use"), "not resident"),
        (BrokenLoader(fault="count"), "decisions"),
        (FalseHint(), "effect of quality"),
        (BrokenPrefetcher(fault="past"), "later layer"),
        (BrokenPrefetcher(fault="deep"), "within the depth"),
        (BrokenPrefetcher(fault="expert"), "there is no expert"),
        (BrokenPrefetcher(fault="keep"), "keeps what is not held"),
        (BrokenPrefetcher(fault="held"), "fetches what is held"),
        (BrokenPrefetcher(fault="twice"), "twice"),
        (BrokenRouter(fault="in place"), "left alone"),
        (BrokenRouter(fault="hint"), "changes no routing"),
        (BrokenRouter(fault="expert"), "experts that exist"),
        (BrokenRouter(fault="shape"), "keep their shape"),
        (BrokenRouter(fault="kept"), "every token keeps an expert"),
    ],
    ids=lambda value: value.replace(" ", "-") if isinstance(value, str) else value.kind,
)
def test_a_fault_is_named(component: Component, rule: str) -> None:
    with pytest.raises(ContractError, match=rule):
        check_component(component)


def test_a_nameless_component_is_refused() -> None:
    with pytest.raises(ContractError, match="no name"):
        check_component(CacheComponent)
