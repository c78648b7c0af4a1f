"""AdapMoE's gating: who goes without a second expert, and how the threshold is found."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hobbit_baselines.adaptive_gating import AdaptiveGatingComponent
from hypothesis import given
from hypothesis import strategies as st

from hobbit.api import Context, Geometry, PastRequest, Records, Router, Routing
from hobbit.config.compose import compose
from hobbit.engine.checkpoint import load_checkpoint
from hobbit.engine.session import open_session
from hobbit.engine.tokens import token_ids
from hobbit.errors import ConfigError
from hobbit.prompts import DOMAINS, bundled_prompt
from hobbit.testing import check_component
from hobbit.testing.stand_ins import Holding
from hobbit.trace import bundled_trace
from hobbit.trace.past import bundled_past, past_requests

NOTHING = Holding([])


def context_of(layers: int = 2, top_k: int = 2, *past: PastRequest) -> Context:
    geometry = Geometry(layers=layers, experts=8, top_k=top_k)
    return Context(geometry, ("native",), (400,), Records(geometry.shape), past=lambda: past)


def routing_of(*weights: list[float]) -> Routing:
    given = np.array(weights, np.float32)
    return Routing(np.arange(given.size, dtype=np.int64).reshape(given.shape), given)


def kept_by(router: Router, layer: int, *weights: list[float]) -> list[list[bool]]:
    """Which selections are kept; all of them where the routing comes back as it went in."""
    routing = routing_of(*weights)
    routed = router.transform(layer, routing, NOTHING)
    return [[True] * routing.experts.shape[1]] * routing.tokens if routed is routing else routed.kept.tolist()


def past_request(weights: np.ndarray) -> PastRequest:
    """A request with gate weights [T, L, K]."""
    return PastRequest(np.zeros(weights.shape, np.int64), weights.astype(np.float32), None, 1)


def test_the_first_expert_stays_alone_where_the_second_matters_little() -> None:
    router = AdaptiveGatingComponent(sensitivities=[1.0, 4.0], threshold=0.05).build(context_of())
    # (1 - a)^2 S: 0.04 and 0.0625 in layer 0, four times that in layer 1.
    assert kept_by(router, 0, [0.8, 0.2], [0.75, 0.25]) == [[True, False], [True, True]]
    assert kept_by(router, 1, [0.8, 0.2], [0.75, 0.25]) == [[True, True], [True, True]]
    assert kept_by(router, 1, [0.9, 0.1]) == [[True, False]]


def test_it_takes_over_the_whole_weight_and_other_tokens_keep_theirs() -> None:
    router = AdaptiveGatingComponent(threshold=0.05).build(context_of())
    routing = routing_of([0.2, 0.8], [0.7, 0.3])
    routed = router.transform(0, routing, NOTHING)
    assert routed.kept is not None and routed.kept.tolist() == [[False, True], [True, True]]
    assert routed.weights.tolist() == [[0.0, 1.0], routing.weights[1].tolist()]
    assert routed.experts is routing.experts


def test_a_threshold_of_0_changes_nothing() -> None:
    router = AdaptiveGatingComponent(threshold=0.0).build(context_of())
    routing = routing_of([1.0, 0.0], [0.5, 0.5])
    assert router.transform(0, routing, NOTHING) is routing


def test_of_more_than_two_experts_the_tail_goes() -> None:
    # Shares of weight from each rank to the end: 1, 0.5, 0.2, 0.1; the weights sum to 2.
    weights = [0.2, 1.0, 0.2, 0.6]
    for threshold, kept in ((0.005, "1111"), (0.02, "1101"), (0.1, "0101"), (9.0, "0100")):
        router = AdaptiveGatingComponent(threshold=threshold).build(context_of(2, 4))
        assert kept_by(router, 0, weights) == [[k == "1" for k in kept]]
    routed = router.transform(0, routing_of(weights), NOTHING)
    assert routed.weights.sum() == pytest.approx(2.0)


def test_the_threshold_gates_the_wanted_share_of_the_past() -> None:
    second = np.random.default_rng(0).uniform(0, 0.5, (500, 2))
    past = past_request(np.stack([1 - second, second], axis=2))
    component = AdaptiveGatingComponent(sensitivities=[3.0, 1.0], single_ratio=0.25)
    router = component.build(context_of(2, 2, past))
    routed = [router.transform(layer, _layer_of(past, layer), NOTHING) for layer in (0, 1)]
    gated = [0.0 if r.kept is None else float(1 - r.kept[:, 1].mean()) for r in routed]
    assert np.mean(gated) == pytest.approx(0.25, abs=0.005)
    assert gated[1] > gated[0], "the layer that minds less is gated more"


def test_without_a_past_the_first_pass_sets_the_threshold() -> None:
    router = AdaptiveGatingComponent(single_ratio=0.5).build(context_of())
    first = routing_of([0.9, 0.1], [0.6, 0.4])
    assert all(router.transform(layer, first, NOTHING) is first for layer in (0, 1))
    assert kept_by(router, 0, [0.9, 0.1], [0.6, 0.4]) == [[True, False], [True, True]]


def test_sensitivities_are_stretched_over_other_depths() -> None:
    context = context_of(3)
    router = AdaptiveGatingComponent(sensitivities=[16.0, 1.0], threshold=0.1).build(context)
    # Geometrically: 16, 4, 1. Gated where the second expert's weight is below 0.079, 0.158, 0.316.
    kept = [kept_by(router, layer, [0.9, 0.1], [0.8, 0.2]) for layer in range(3)]
    assert [[row[1] for row in rows] for rows in kept] == [[True, True], [False, True], [False, False]]
    assert context.notes == ["2 router.sensitivities are stretched over 3 layers"]


def test_sensitivities_cost_less_than_a_constant_at_the_same_share() -> None:
    """On other requests than it was calibrated on, by the loss that the sensitivities predict."""
    sensitivities = np.geomspace(2000, 1, 32)  # as they fall in Mixtral
    losses = {}
    for name, falling in (("constant", []), ("by layer", sensitivities.tolist())):
        context = replace(context_of(32), past=bundled_past)
        router = AdaptiveGatingComponent(sensitivities=falling).build(context)
        gated = np.array([_gated(router, layer) for layer in range(32)])  # [L, 2]: tokens, loss each
        losses[name] = (gated[:, 1] * sensitivities).sum() / gated[:, 0].sum()
    assert losses["by layer"] < 0.5 * losses["constant"]


def _gated(router: Router, layer: int) -> tuple[int, float]:
    """Tokens of a test request that go single in this layer, and the sum of their (1 - a)^2."""
    request = past_requests(bundled_trace("books"))[-1]
    routing = _layer_of(request, layer)
    kept = router.transform(layer, routing, NOTHING).kept
    if kept is None:
        return 0, 0.0
    single = ~kept.all(axis=1)
    return int(single.sum()), float((routing.weights.min(axis=1)[single] ** 2).sum())


def _layer_of(request: PastRequest, layer: int) -> Routing:
    return Routing(request.experts[:, layer], request.weights[:, layer])


@torch.no_grad()
def test_measured_sensitivities_beat_a_constant_on_the_bundled_model() -> None:
    """In float32: rounding to bfloat16 costs about as much as this gating does."""
    model, tokenizer = load_checkpoint(compose([]).model.location, dtype="float32")
    texts = [torch.tensor([token_ids(tokenizer, bundled_prompt(d))[:384]]) for d in DOMAINS]
    known = [model(ids).logits.log_softmax(dim=-1) for ids in texts]
    divergence, gated = {}, {}
    for router in ("adaptive_gating", "adaptive_gating_calibrated"):
        config = compose(["policy=all_resident", "device=cpu", "precision=native", f"router={router}"])
        setup = config.setup()
        with open_session(model, tokenizer, setup, name="bundled", tokens=512, past=bundled_past) as session:
            said = [model(ids).logits.log_softmax(dim=-1) for ids in texts]
            gated[router] = 1 - session.assembly.metrics.prefill.selections / (2 * 32 * 3 * 384)
        divergence[router] = sum(
            float((k.exp() * (k - s)).sum(dim=-1).mean()) for k, s in zip(known, said, strict=True)
        )
    assert gated["adaptive_gating"] == pytest.approx(0.125, abs=0.01)
    assert gated["adaptive_gating_calibrated"] == pytest.approx(gated["adaptive_gating"], abs=0.005)
    assert divergence["adaptive_gating_calibrated"] < divergence["adaptive_gating"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"single_ratio": 1.5}, "not a share"),
        ({"threshold": -1.0}, "null to calibrate"),
        ({"threshold": float("nan")}, "null to calibrate"),
        ({"sensitivities": [1.0, 0.0]}, "positive"),
    ],
)
def test_options_that_make_no_sense(options: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        AdaptiveGatingComponent(**options).build(context_of())  # type: ignore[arg-type]


def test_variants_keep_the_contract() -> None:
    check_component(AdaptiveGatingComponent(threshold=0.1))
    check_component(AdaptiveGatingComponent(sensitivities=[5.0, 1.0], single_ratio=1.0))


@given(
    st.lists(st.integers(0, 6), min_size=1, max_size=5),
    st.floats(0.1, 10.0),
    st.floats(0.0, 1.0),
)
def test_one_token_alone_is_gated_as_among_others(
    shares: list[int], sensitivity: float, threshold: float
) -> None:
    weights = [share / 8 for share in shares]
    component = AdaptiveGatingComponent(threshold=threshold, sensitivities=[1.0, sensitivity])
    router = component.build(context_of(2, len(weights)))
    alone = router.transform(1, routing_of(weights), NOTHING)
    among = router.transform(1, routing_of(weights, weights), NOTHING)
    assert (alone.kept is None) == (among.kept is None)
    assert np.array_equal(alone.weights[0], among.weights[0])
    if alone.kept is not None and among.kept is not None:
        assert alone.kept.tolist()[0] == among.kept.tolist()[0]
