"""A small model to decide for: 2 layers of 4 experts, top-2."""

from __future__ import annotations

import pytest

from hobbit.api import Context, Geometry, Records


@pytest.fixture
def context() -> Context:
    geometry = Geometry(layers=2, experts=4, top_k=2)
    return Context(geometry, ("native",), (400,), Records(geometry.shape))
