"""The tuner's walk over the simplex of weights."""

from __future__ import annotations

import pytest

from benchmarks.tuning.cache_weights import grid, neighbours, with_weights


def test_the_grid_is_every_multiple_on_the_simplex() -> None:
    points = grid(4, own_level=True)
    assert len(points) == len(set(map(repr, points))) == 35
    for point in points:
        assert point.own_level
        assert point.w_lru + point.w_lfu + point.w_lhu + point.w_fld == pytest.approx(1)


def test_neighbours_move_mass_and_stay_on_the_simplex() -> None:
    found = list(neighbours(with_weights((0.05, 0.0, 0.45, 0.5), own_level=False), 0.1))
    assert len(found) == 6  # from the two weights that have 0.1 to give, to three others each
    assert with_weights((0.15, 0.0, 0.45, 0.4), own_level=False) in found
    for point in found:
        assert min(point.w_lru, point.w_lfu, point.w_lhu, point.w_fld) >= 0
        assert point.w_lru + point.w_lfu + point.w_lhu + point.w_fld == pytest.approx(1)
