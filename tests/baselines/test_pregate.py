"""Pre-gated MoE: who chooses, with what weight, and that nothing is missed beyond the first layer."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hobbit_baselines.pregate import Pregate, PregateComponent
from hobbit_baselines.pregate_fetch import PregateFetchComponent

from hobbit.api import HIGH, Context, Demand, ExpertKey, Geometry, Records, Routing, RoutingShape
from hobbit.assembly import assemble
from hobbit.config.compose import compose
from hobbit.engine.checkpoint import load_checkpoint
from hobbit.engine.session import open_session
from hobbit.engine.tokens import token_ids
from hobbit.errors import ConfigError
from hobbit.prompts import bundled_prompt
from hobbit.runtime import LayerEvent, Observer
from hobbit.testing import check_component
from hobbit.testing.stand_ins import Holding
from hobbit.trace import bundled_trace
from hobbit.trace.cut import cut
from hobbit.trace.replay import replay
from tests.engine.models import tiny_model
from tests.engine.runs import continue_greedily, prompts

SHAPE = RoutingShape(4, 4, 2)
OWN = Routing(np.array([[0, 1]]), np.array([[0.5, 0.3]], np.float32))


def ahead(*layers: list[float]) -> np.ndarray:
    """Look-ahead logits of one token, [D, 1, E]."""
    return np.array(layers, np.float32)[:, None]


def chosen(look_ahead: int, *given: np.ndarray | None) -> list[list[int]]:
    """The experts of each layer, where layer i looks ahead as given."""
    router = Pregate(look_ahead, SHAPE)
    layers = [replace(OWN, lookahead=logits) for logits in given]
    return [router.transform(i, layer, Holding([])).experts[0].tolist() for i, layer in enumerate(layers)]


def test_a_layer_runs_what_the_layer_before_chose() -> None:
    assert chosen(1, ahead([0, 1, 2, 3]), ahead([3, 0, 0, 2]), None) == [[0, 1], [3, 2], [0, 3]]


def test_the_first_layer_chooses_for_all_that_nobody_earlier_could() -> None:
    first = ahead([0, 1, 2, 3], [3, 0, 0, 2])
    second = ahead([9, 9, 0, 0], [0, 0, 2, 1])
    assert chosen(2, first, second, None, None) == [[0, 1], [3, 2], [0, 3], [2, 3]]


def test_weights_are_the_pregates_softmax_scaled_to_the_routers_sum() -> None:
    router = Pregate(1, SHAPE)
    router.transform(0, replace(OWN, lookahead=ahead([0, 0, np.log(3), 0.1])), Holding([]))
    weights = router.transform(1, OWN, Holding([])).weights[0]
    assert weights.sum() == pytest.approx(0.8)
    assert weights[0] / weights[1] == pytest.approx(3 / np.exp(0.1), rel=1e-5)


def test_where_routers_cannot_be_read_layers_choose_for_themselves() -> None:
    assert chosen(1, None, None) == [[0, 1], [0, 1]]


def test_a_pass_that_broke_off_leaves_nothing_behind() -> None:
    router = Pregate(1, SHAPE)
    router.transform(0, replace(OWN, lookahead=ahead([0, 1, 2, 3])), Holding([]))
    router.transform(0, OWN, Holding([]))
    assert router.transform(1, OWN, Holding([])) is OWN


class Misses(Observer):
    """Demands that found nothing, by layer; the most experts in use and on their way at once."""

    def __init__(self) -> None:
        self.by_layer = [0] * 64
        self.peak = 0

    def layer(self, event: LayerEvent) -> None:
        self.by_layer[event.layer] += sum(not mask for mask in event.held)
        self.peak = max(self.peak, len(event.demands) + len(event.prefetches))


@pytest.mark.parametrize("look_ahead", [1, 2, 3])
def test_replays_miss_in_the_first_layer_alone(look_ahead: int) -> None:
    config = compose(["policy=pregated", f"router.look_ahead={look_ahead}", "device=h200"])
    watch = Misses()
    assembly = assemble(config.setup(), config.geometry, tokens=64, observers=(watch,))
    replay(cut(bundled_trace("code"), 16, 8), assembly.runtime)
    assert watch.by_layer[0] > 0
    assert not any(watch.by_layer[1:])


def test_decoding_needs_no_more_than_two_layers_experts() -> None:
    config = compose(["policy=pregated", "prefetcher.staging=2", "device=h200"])
    trace = cut(bundled_trace("code"), 1, 16)
    watch = Misses()
    assembly = assemble(config.setup(), config.geometry, tokens=64, observers=(watch,))
    plan = assembly.plan
    assert plan.slots[0] * plan.blob_bytes[0] + plan.staging == 4 * plan.blob_bytes[0]
    replay(trace, assembly.runtime)
    assert not any(watch.by_layer[1:])
    assert watch.peak == 4


@pytest.mark.parametrize("family", ["mixtral", "olmoe", "qwen3_moe"])
def test_live_runs_miss_in_the_first_layer_alone(family: str) -> None:
    watch = Misses()
    setup = compose(["policy=pregated", "device=cpu", "precision=native"]).setup()
    model = tiny_model(family)
    with open_session(model, None, setup, name="tiny", tokens=64, observers=[watch]) as session:
        continue_greedily(model, *prompts(1, 12), 8)
        assert session.assembly.metrics.decode.prefetches_used > 0
    assert watch.by_layer[0] > 0
    assert not any(watch.by_layer[1:])


@torch.no_grad()
def test_the_further_ahead_the_greater_the_loss() -> None:
    """As divergence from the model that chooses for itself, over 128 tokens of the bundled model."""
    model, tokenizer = load_checkpoint(compose([]).model.location)
    ids = torch.tensor([token_ids(tokenizer, bundled_prompt("code"))[:128]])
    known = model(ids).logits.float().log_softmax(dim=-1)
    divergences = []
    for look_ahead in (1, 2, 3):
        words = ["policy=pregated", f"router.look_ahead={look_ahead}", "device=cpu", "precision=native"]
        with open_session(model, tokenizer, compose(words).setup(), name="bundled", tokens=128):
            said = model(ids).logits.float().log_softmax(dim=-1)
        divergences.append(float((known.exp() * (known - said)).sum(dim=-1).mean()))
    assert 0 < divergences[0] < divergences[1] < divergences[2]


class Guess:
    """One expert after the other, and expert 0, two layers ahead."""

    depth = 2

    def demands(self, distance: int) -> list[Demand]:
        return [Demand(distance, 0.6, 0.0, 1), Demand(0, 0.4, 0.6, 1)]


def test_the_prefetcher_brings_what_is_decided_and_missing() -> None:
    context = context_with(Pregate(2, SHAPE))
    prefetcher = PregateFetchComponent().build(context)
    assert (prefetcher.depth, prefetcher.staging) == (2, 3 * 4 - 2)
    view = Holding([[0] * 4, [1, 0, 0, 0], [0] * 4, [0] * 4])
    first, second = (prefetcher.plan(layer, [], Guess(), view) for layer in (0, 1))
    assert first is not None and second is not None
    assert first.fetch == [ExpertKey(1, 1, HIGH), ExpertKey(2, 2, HIGH), ExpertKey(2, 0, HIGH)]
    assert second.fetch == [ExpertKey(3, 2, HIGH), ExpertKey(3, 0, HIGH)]
    assert prefetcher.plan(0, [], None, view) is None


def context_with(router: Pregate) -> Context:
    geometry = Geometry(layers=4, experts=4, top_k=2)
    return Context(geometry, ("native",), (400,), Records(geometry.shape), router=router)


def test_options_that_make_no_sense(context: Context) -> None:
    with pytest.raises(ConfigError, match="look_ahead=4 must be 1, 2 or 3"):
        PregateComponent(look_ahead=4).build(context)
    with pytest.raises(ConfigError, match="staging=-1 is negative"):
        PregateFetchComponent(staging=-1).build(context)


def test_variants_keep_the_contract() -> None:
    check_component(PregateComponent(look_ahead=3))
    check_component(PregateFetchComponent(staging=2))
