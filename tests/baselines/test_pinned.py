"""Placement for good: by popularity (Fiddler), by layers (llama.cpp, accelerate)."""

from __future__ import annotations

import numpy as np
import pytest
from hobbit_baselines.host import HostComponent
from hobbit_baselines.lru import Lru
from hobbit_baselines.pinned import Pinned
from hobbit_baselines.popular import PopularComponent
from hobbit_baselines.static_layers import Side, StaticLayersComponent
from hobbit_baselines.whole_layer import WholeLayerComponent

from hobbit.api import HIGH, Allocation, Context, ExpertKey, PastRequest, PoolView
from hobbit.errors import ConfigError

INCOMING = ExpertKey(0, 3, HIGH)


def view(*flat: int) -> PoolView:
    experts = np.array(flat, np.int64)
    return PoolView(HIGH, experts, experts // 4)


def past() -> list[PastRequest]:
    """Of 2 layers of 4: expert 3 of layer 1 is chosen always, expert 2 of layer 0 often."""
    experts = np.array([[[2, 0], [3, 0]], [[2, 1], [3, 1]], [[2, 3], [3, 2]], [[0, 1], [3, 1]]])
    return [PastRequest(experts, np.ones(experts.shape, np.float32), None, 1)]


def test_the_most_popular_are_placed_first_and_stay(context: Context) -> None:
    context.past = past
    policy = PopularComponent(scratch=2).build(context)
    assert policy.warm(HIGH, Allocation((4,))) == [(1, 3), (0, 2)]
    context.records.use(1, 1, HIGH)
    scores = policy.scores(view(7, 2, 1, 0), INCOMING)
    assert scores.tolist() == [np.inf, np.inf, 1, 0]


def test_a_warm_start_is_no_pin(context: Context) -> None:
    context.past = past
    policy = PopularComponent(stay=False).build(context)
    assert policy.warm(HIGH, Allocation((3,))) == [(1, 3), (0, 2), (0, 0)]
    context.records.use(1, 1, HIGH)
    assert policy.scores(view(7, 2, 1), INCOMING).argmin() == 0


def test_without_a_past_each_layer_gets_its_share(context: Context) -> None:
    policy = PopularComponent(scratch=0).build(context)
    assert policy.warm(HIGH, Allocation((4,))) == [(0, 0), (1, 0), (0, 1), (1, 1)]
    assert "cache=popular knows no past routing" in context.notes[0]


def test_everything_stays_where_everything_fits(context: Context) -> None:
    assert len(PopularComponent(scratch=2).build(context).warm(HIGH, Allocation((8,)))) == 8


@pytest.mark.parametrize(("side", "layer"), [(Side.first, 0), (Side.last, 1)])
def test_layers_are_placed_whole_as_far_as_they_fit(context: Context, side: Side, layer: int) -> None:
    context.loader = HostComponent().build(context)
    policy = StaticLayersComponent(side=side).build(context)
    placed = policy.warm(HIGH, Allocation((7,)))
    assert sorted(placed) == [(layer, expert) for expert in range(4)]
    assert policy.warm(HIGH, Allocation((3,))) == []
    stays = policy.scores(view(*range(7)), INCOMING) == np.inf
    assert stays.tolist() == [flat // 4 == layer for flat in range(7)]


def test_whole_layers_get_slots_to_pass_through(context: Context) -> None:
    context.loader = WholeLayerComponent().build(context)
    policy = StaticLayersComponent().build(context)
    assert policy.warm(HIGH, Allocation((7,))) == []
    assert len(policy.warm(HIGH, Allocation((8,)))) == 8
    context.unified = True
    assert isinstance(StaticLayersComponent().build(context), Pinned), "no page cache of whole layers"


def test_on_unified_memory_single_experts_make_a_page_cache(context: Context) -> None:
    context.unified = True
    context.loader = HostComponent().build(context)
    policy = StaticLayersComponent(side=Side.last).build(context)
    assert isinstance(policy, Lru)
    assert not policy.per_layer
    assert policy.warm(HIGH, Allocation((7,))) == ()


def test_static_layers_need_a_loader(context: Context) -> None:
    with pytest.raises(ConfigError, match="build the loader first"):
        StaticLayersComponent().build(context)
