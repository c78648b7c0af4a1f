"""Each missing expert is shared between host and device such that both end at the same moment."""

from __future__ import annotations

import pytest
from hobbit_baselines.balanced import BalancedComponent
from hobbit_baselines.shared import SharedComponent
from hobbit_paper.mixed_precision import MixedPrecisionComponent
from hobbit_paper.placement import RunMode

from hobbit.api import HIGH, LOW, Action, Context, Decision, Demand, host_share

USE = Decision(Action.USE, HIGH)


class Costs:
    """In place a high expert takes 60 and a low one 20, on the host 30 and 10, on the device 6."""

    def copy_ns(self, level: int) -> int:
        return 50 if level == HIGH else 15

    def device_ns(self, level: int, tokens: int) -> int:
        return 6

    def host_ns(self, level: int, tokens: int) -> int:
        return (30 if level == HIGH else 10) * tokens

    def in_place_ns(self, level: int, tokens: int) -> int | None:
        return (60 if level == HIGH else 20) if tokens == 1 else None


@pytest.fixture
def costed(context: Context) -> Context:
    context.costs = Costs()
    return context


def one_token(context: Context, missing: int) -> tuple[list[Demand], list[int]]:
    """All of a token's choices, of which the last `missing` are not resident."""
    top_k = context.shape.top_k
    demands = [Demand(expert, 1 / top_k, 0.0, 1) for expert in range(top_k)]
    return demands, [1] * (top_k - missing) + [0] * missing


def test_both_sides_end_at_once() -> None:
    assert host_share(30, 60) == pytest.approx(2 / 3)
    assert host_share(30, 60, busy_ns=15) == pytest.approx(75 / 90)  # 25 on the host, 10 + 15 on the device
    assert host_share(30, 60, busy_ns=300) == 1
    assert host_share(30, 0) == 0


def test_what_runs_beside_the_reading_does_not_count(costed: Context) -> None:
    class Beside(Costs):
        reads_beside = True

    costed.costs = Beside()
    *_, miss = SharedComponent().build(costed).resolve(0, *one_token(costed, 1))
    assert miss == Decision(Action.HOST, HIGH, pytest.approx(60 / 90))


def test_shares_follow_costs_that_change(costed: Context) -> None:
    class Following(Costs):
        revision = 0

        def host_ns(self, level: int, tokens: int) -> int:
            return (30 + 60 * self.revision) * tokens

    costs = costed.costs = Following()
    loader = SharedComponent().build(costed)
    missing = one_token(costed, costed.shape.top_k)
    for revision, share in enumerate((60 / 90, 60 / 150)):
        costs.revision = revision
        for _ in range(2):
            shares = {decision.share for decision in loader.resolve(0, *missing)}
            assert list(shares) == [pytest.approx(share)]


def test_every_miss_of_a_layer_has_the_same_share(costed: Context) -> None:
    loader, top_k = SharedComponent().build(costed), costed.shape.top_k
    assert (
        loader.resolve(0, *one_token(costed, top_k))
        == [Decision(Action.HOST, HIGH, pytest.approx(2 / 3))] * top_k
    )
    *hits, miss = loader.resolve(0, *one_token(costed, 1))
    assert hits == [USE] * (top_k - 1)
    assert miss == Decision(Action.HOST, HIGH, pytest.approx(min(1, (60 + 6 * (top_k - 1)) / 90)))
    assert loader.resolve(0, *one_token(costed, 0)) == [USE] * top_k


def test_prompts_are_split_by_whole_experts(costed: Context) -> None:
    loader, balanced = SharedComponent().build(costed), BalancedComponent().build(costed)
    prompt = [Demand(expert, 0.5, 0.0, 9) for expert in range(3)]
    assert loader.resolve(0, prompt, [0] * 3) == balanced.resolve(0, prompt, [0] * 3)


def test_unified_memory_has_nothing_to_share(costed: Context) -> None:
    costed.unified = True
    demands, held = one_token(costed, costed.shape.top_k)
    assert SharedComponent().build(costed).resolve(0, demands, held) == [Decision(Action.LOAD, HIGH)] * len(
        demands
    )


def test_misses_of_two_precisions_share_alike(costed: Context) -> None:
    loader, top_k = MixedPrecisionComponent(mode=RunMode.shared).build(costed), costed.shape.top_k
    demands = [Demand(0, 0.7, 0.0, 1), Demand(1, 0.3, 0.7, 1)]
    demands += [Demand(expert, 0.0, 0.0, 1) for expert in range(2, top_k)]
    held = [0, 0] + [1] * (top_k - 2)
    share = pytest.approx(min(1, (80 + 6 * (top_k - 2)) / 120))
    assert loader.resolve(0, demands, held)[:2] == [
        Decision(Action.HOST, HIGH, share),
        Decision(Action.HOST, LOW, share),
    ]
    balanced = MixedPrecisionComponent(mode=RunMode.balanced).build(costed)
    prompt = [Demand(0, 0.7, 0.0, 9), Demand(1, 0.3, 0.7, 9)]
    assert loader.resolve(0, prompt, [0, 0]) == balanced.resolve(0, prompt, [0, 0])
