"""MoE-APEX's LCU, worked out by hand for 4 layers of 2 experts."""

from __future__ import annotations

import numpy as np
from hobbit_paper.lcu import LcuComponent

from hobbit.api import Context, ExpertKey, PoolView

POOL = PoolView(0, np.array([5, 0]), np.array([2, 0]))  # layer 2 expert 1, layer 0 expert 0
INCOMING = ExpertKey(layer=1, expert=0, level=0)


def set_records(context: Context) -> None:
    context.records.begin_pass(8)
    context.records.high_uses[[5, 0]] = 2, 1
    context.records.low_uses[[5, 0]] = 4, 0


def test_priority_by_hand(context: Context) -> None:
    set_records(context)
    policy = LcuComponent().build(context)
    policy.observe(2, [1], [1])
    # C = 2 + 100/400 * 4 = 3, used last time, one layer ahead; C = 1, not used last time.
    np.testing.assert_allclose(policy.scores(POOL, INCOMING), [3 / 8 + 1 / 1.1, 1 / 8])


def test_the_latest_run_of_a_layer_replaces_the_one_before(context: Context) -> None:
    set_records(context)
    policy = LcuComponent().build(context)
    policy.observe(2, [1], [1])
    policy.observe(2, [0], [1])
    np.testing.assert_allclose(policy.scores(POOL, INCOMING), [3 / 8, 1 / 8])


def test_a_new_sequence_has_no_last_pass(context: Context) -> None:
    policy = LcuComponent().build(context)
    policy.observe(2, [1], [1])
    policy.begin_sequence()
    set_records(context)
    np.testing.assert_allclose(policy.scores(POOL, INCOMING), [3 / 8, 1 / 8])


def test_one_precision_has_no_low_uses_to_weigh(context: Context) -> None:
    context.blob_bytes = (400,)
    set_records(context)
    np.testing.assert_allclose(LcuComponent().build(context).scores(POOL, INCOMING), [2 / 8, 1 / 8])
