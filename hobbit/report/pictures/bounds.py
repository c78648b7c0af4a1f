"""Bounds: policies that no deployment could run, which comparisons show apart."""

from __future__ import annotations

from functools import cache

from hobbit.config.compose import compose
from hobbit.errors import HobbitError


@cache
def is_bound(policy: str) -> bool:
    """True if the preset ignores the memory budget or knows the future; False if it is not installed."""
    try:
        setup = compose([f"policy={policy}", "device=sim"]).setup()
    except HobbitError:
        return False
    return setup.cache.unlimited or setup.needs_future
