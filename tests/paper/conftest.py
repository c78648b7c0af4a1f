"""A small model to decide for: 4 layers of 2 experts, top-1; a low blob is a quarter of a high one."""

from __future__ import annotations

import pytest

from hobbit.api import Context, Geometry, Records


@pytest.fixture
def context() -> Context:
    geometry = Geometry(layers=4, experts=2, top_k=1)
    return Context(geometry, ("native", "int4"), (400, 100), Records(geometry.shape))
