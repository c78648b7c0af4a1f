"""Calibrated thresholds: quantiles by hand, and the shares that they give."""

from __future__ import annotations

import numpy as np
import pytest
from hobbit_paper.mixed_precision import Calibrate, MixedPrecisionComponent
from hobbit_paper.thresholds import calibrate_thresholds
from hypothesis import given
from hypothesis import strategies as st

from hobbit.errors import ConfigError


def test_ten_scores_by_hand() -> None:
    scores = np.array([0.0, 0.9, 0.5, 0.6, 0.7, 0.0, 0.8, 0.0, 0.0, 0.0])
    assert calibrate_thresholds(scores, 0.7, 0.2) == (0.6, 0.8)
    assert calibrate_thresholds(scores, 0.0, 1.0) == (0.0, 0.9)


def test_counts_stand_for_repeated_scores() -> None:
    assert calibrate_thresholds(np.array([0.9, 0.0, 0.6]), 0.5, 0.3, np.array([2, 5, 3])) == (0.0, 0.6)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=200), st.floats(0, 1), st.floats(0, 1))
def test_the_least_thresholds_that_reach_the_shares(values: list[float], high: float, low: float) -> None:
    scores, low = np.array(values), low * (1 - high)
    for threshold, share in zip(calibrate_thresholds(scores, high, low), (high, high + low), strict=True):
        assert (scores <= threshold).mean() >= share - 1e-6
        assert (scores < threshold).mean() <= share or threshold == scores.min()


def test_no_scores() -> None:
    with pytest.raises(ValueError, match="no scores"):
        calibrate_thresholds(np.array([]), 0.67, 0.30)


@pytest.mark.parametrize(
    ("when", "bundled", "chosen", "calibrates"),
    [
        (Calibrate.never, False, (), False),
        (Calibrate.elsewhere, False, (), True),
        (Calibrate.elsewhere, True, (), False),
        (Calibrate.always, True, ("mode",), True),
        (Calibrate.always, False, ("t2",), False),
    ],
)
def test_when_to_calibrate(when: Calibrate, bundled: bool, chosen: tuple[str, ...], calibrates: bool) -> None:
    assert MixedPrecisionComponent(calibrate=when).calibrates(bundled, chosen) is calibrates


def test_the_component_keeps_its_other_options() -> None:
    found = MixedPrecisionComponent(accept_low=True).calibrated(np.linspace(0, 1, 101))
    assert (found.t1, found.t2, found.accept_low) == (0.67, 0.97, True)


@pytest.mark.parametrize(("high", "low"), [(0.8, 0.3), (-0.1, 0.5), (float("nan"), 0.1)])
def test_shares_that_are_none(high: float, low: float) -> None:
    with pytest.raises(ConfigError, match="are not shares of one whole"):
        MixedPrecisionComponent(calibrate_high=high, calibrate_low=low).calibrated(np.zeros(3))
