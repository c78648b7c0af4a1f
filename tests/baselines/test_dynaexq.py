"""DynaExq: low copies of everything, high ones for the hot experts, and nothing to wait for."""

from __future__ import annotations

import numpy as np
import pytest
from hobbit_baselines.low_everywhere import LowEverywhere, LowEverywhereComponent, popularity
from hobbit_baselines.on_demand import OnDemand
from hobbit_baselines.promote import Promote, PromoteComponent
from hobbit_baselines.resident_precision import ResidentPrecision

from hobbit.api import (
    HIGH,
    LOW,
    Action,
    Allocation,
    Context,
    Decision,
    Demand,
    ExpertKey,
    PastRequest,
    PoolView,
    PrefetchPlan,
    RoutingShape,
)
from hobbit.assembly import Assembly, assemble
from hobbit.config.compose import compose
from hobbit.errors import BudgetError, ConfigError
from hobbit.tasks.replays import replay_setup
from hobbit.testing import check_component
from hobbit.testing.stand_ins import Holding
from hobbit.trace import bundled_trace
from hobbit.trace.cut import cut

DEMANDS = [Demand(2, 0.5, 0.0, 1), Demand(0, 0.3, 0.5, 4), Demand(1, 0.2, 0.8, 4)]


def test_what_is_resident_is_used() -> None:
    decisions = ResidentPrecision().resolve(0, [*DEMANDS, DEMANDS[0]], [0b01, 0b10, 0b11, 0])
    assert decisions == [
        Decision(Action.USE, HIGH),
        Decision(Action.USE, LOW),
        Decision(Action.USE, HIGH),
        Decision(Action.LOAD, LOW),
    ]


def test_the_most_used_experts_without_a_high_copy_are_offered() -> None:
    view = Holding([[0b10, 0b11, 0b10]])
    assert Promote(1).plan(0, DEMANDS, None, view) == PrefetchPlan([ExpertKey(0, 0, HIGH)])
    assert Promote(9).plan(0, DEMANDS, None, view) == PrefetchPlan(
        [ExpertKey(0, 0, HIGH), ExpertKey(0, 2, HIGH)]
    )


def pool(*flat: int) -> PoolView:
    """A pool of these experts, of a model with 4 a layer."""
    experts = np.array(flat)
    return PoolView(HIGH, experts, experts // 4)


def test_only_a_hotter_expert_drives_another_out() -> None:
    hotness = np.array([[0.4, 0.3, 0.2, 0.1], [0.25, 0.25, 0.25, 0.25]])
    policy = LowEverywhere(hotness, decay=0.9, factor=1.25)
    residents = pool(1, 2, 3)
    assert policy.scores(residents, ExpertKey(0, 0, HIGH)).tolist() == [0.3, 0.2, 0.1]
    assert policy.scores(residents, ExpertKey(1, 0, HIGH)).tolist() == [
        np.inf,
        np.inf,
        0.1,
    ]  # 1.25 * 0.2 is not less
    assert LowEverywhere(hotness, 0.9, 0.0).scores(residents, ExpertKey(0, 3, HIGH)).tolist() == [
        0.3,
        0.2,
        0.1,
    ]


def test_hotness_follows_the_routing_and_forgets() -> None:
    policy = LowEverywhere(np.zeros((1, 4)), decay=0.5, factor=0.0)
    residents, newcomer = pool(0, 1, 2), ExpertKey(0, 3, HIGH)
    policy.observe(0, [0, 1], [1, 1])
    assert policy.scores(residents, newcomer).tolist() == [0.25, 0.25, 0.0]
    policy.observe(0, [1, 2], [2, 2])  # two tokens: what was counts a quarter
    assert policy.scores(residents, newcomer).tolist() == [0.0625, 0.4375, 0.375]


def test_the_hottest_of_the_past_start_high_and_everybody_low() -> None:
    experts = np.array([[[0, 1], [2, 3]], [[1, 2], [2, 0]]])
    past = PastRequest(experts, np.full(experts.shape, 0.5, np.float32), None, 1)
    hotness = popularity([past], RoutingShape(2, 4, 2))
    assert hotness.tolist() == [[0.25, 0.5, 0.25, 0], [0.25, 0, 0.5, 0.25]]
    policy = LowEverywhere(hotness, 0.98, 1.25)
    assert policy.warm(HIGH, Allocation((2,)))[:2] == [(0, 1), (1, 2)]
    assert sorted(policy.warm(LOW, Allocation((8,)))) == [(layer, e) for layer in (0, 1) for e in range(4)]


def test_without_a_past_nobody_starts_high() -> None:
    policy = LowEverywhere(np.zeros((2, 4)), 0.98, 1.25)
    assert len(policy.warm(HIGH, Allocation((2,)))) == 0
    assert len(policy.warm(LOW, Allocation((8,)))) == 8


def test_beside_a_loader_that_loads_high_everybody_is_let_in(context: Context) -> None:
    context.loader = OnDemand()
    scores = LowEverywhereComponent().build(context).scores(pool(0, 1), ExpertKey(0, 2, HIGH))
    assert np.isfinite(scores).all()


def test_nothing_is_loaded_or_waited_for_on_the_critical_path() -> None:
    assembly = replay_bundled()
    decode = assembly.metrics.decode
    assert (decode.misses, decode.demand_bytes, decode.skipped) == ([0, 0], 0, 0)
    assert assembly.plan.slots[LOW] == 32 * 8
    assert sum(decode.prefetches) > 0, "something is promoted"


def test_promoted_experts_serve_more_than_their_share_of_slots() -> None:
    assembly = replay_bundled()
    high, low = assembly.metrics.decode.served
    assert high / (high + low) > 1.1 * assembly.plan.slots[HIGH] / (32 * 8)


def replay_bundled() -> Assembly:
    config = compose(["policy=dynaexq", "device=rtx4090"])
    return replay_setup(cut(bundled_trace("code"), 16, 24), config.setup(), config.geometry, 40)[1]


def test_a_device_that_cannot_hold_every_low_copy_says_what_is_missing() -> None:
    with pytest.raises(BudgetError, match=r"a low copy of every expert .* are missing; give at least"):
        assembled("device=rtx2080ti")


def assembled(*words: str) -> Assembly:
    config = compose(["policy=dynaexq", *words])
    return assemble(config.setup(), config.geometry, tokens=64)


@pytest.mark.parametrize(
    "options", [{"decay": 1.0}, {"decay": -0.1}, {"margin": -1.0}, {"margin": float("nan")}]
)
def test_options_that_make_no_sense(options: dict[str, float], context: Context) -> None:
    with pytest.raises(ConfigError, match="must be"):
        LowEverywhereComponent(**options).build(context)


def test_promoting_nothing_is_refused(context: Context) -> None:
    with pytest.raises(ConfigError, match="fetch=0 promotes nothing"):
        PromoteComponent(fetch=0).build(context)


def test_variants_keep_the_contract() -> None:
    check_component(LowEverywhereComponent(decay=0.0, margin=0.0))
    check_component(PromoteComponent(fetch=8))
