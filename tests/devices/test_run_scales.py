"""What a run tells of costs: each level's own scale, from passes that mix them."""

from __future__ import annotations

import numpy as np
import pytest
from hobbit_devices.run_scales import LITTLE_NS, MOST, RunScales
from hypothesis import given, settings
from hypothesis import strategies as st

MS = 1_000_000


@settings(max_examples=50, deadline=None)
@given(st.floats(0.3, 3), st.floats(0.15, 7), st.integers(0, 10**6))
def test_levels_are_told_apart(high: float, low: float, seed: int) -> None:
    random = np.random.default_rng(seed)
    scales = RunScales(2)
    for _ in range(40):
        foreseen = random.uniform(0, 20, 2) * (random.random(2) < 0.8) * MS
        noise = random.normal(1, 0.03)
        scales.follow(dict(enumerate(foreseen)), round(noise * float(foreseen @ [high, low])))
    assert scales.values == pytest.approx([high, low], rel=0.25)


def test_what_was_badly_off_is_mended_within_a_few_passes() -> None:
    scales = RunScales(2)
    for number in range(12):  # the low level was foreseen seven times too slow
        foreseen = {0: (8 + number % 3) * MS, 1: (12, 3, 8)[number % 3] * MS}
        scales.follow(foreseen, round(foreseen[0] + foreseen[1] / 7))
    assert scales.values == pytest.approx([1, 1 / 7], rel=0.2)


@pytest.mark.parametrize("seed", range(3))
def test_long_runs_stay_near_the_truth(seed: int) -> None:
    random = np.random.default_rng(seed)
    scales = RunScales(2)
    for number in range(500):
        foreseen = [2.5 * random.poisson(3.4) * MS, random.poisson(2) * MS]
        scales.follow(dict(enumerate(foreseen)), round(sum(foreseen) * random.normal(1, 0.08)))
        if number > 40:
            assert scales.values == pytest.approx([1, 1], abs=0.5)


def test_a_change_is_followed() -> None:
    scales = RunScales(1)
    for took in [10] * 20 + [20] * 60:
        scales.follow({0: 10 * MS}, took * MS)
    assert scales.values == pytest.approx([2], rel=0.1)


@given(st.lists(st.tuples(st.floats(0, 1e9), st.floats(0, 1e9), st.integers(0, 10**12)), max_size=60))
def test_nothing_carries_scales_away(passes: list[tuple[float, float, int]]) -> None:
    scales = RunScales(2)
    for high, low, took in passes:
        scales.follow({0: high, 1: low}, took)
    assert all(1 / MOST <= value <= MOST for value in scales.values)


def test_little_work_tells_nothing() -> None:
    scales = RunScales(2)
    scales.follow({0: LITTLE_NS / 3, 1: LITTLE_NS / 3}, 50 * MS)
    assert scales.values == [1, 1]


def test_a_hiccup_is_soon_forgotten() -> None:
    scales = RunScales(1)
    for took in (4, 4, 400, 4, 4, 4):
        scales.follow({0: 4 * MS}, took * MS)
    assert scales.values == pytest.approx([1], rel=0.3)
