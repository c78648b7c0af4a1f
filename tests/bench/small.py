"""A geometry with the routing of the bundled traces and matrices of a few kilobytes."""

from __future__ import annotations

from hobbit.geometry import Geometry

SIZES = {"hidden": 64, "ffn": 128, "vocab": 256, "heads": 4, "kv_heads": 2, "head_dim": 16}
WORDS = [f"geometry.{name}={value}" for name, value in SIZES.items()]
"""On a command line."""


def small(name: str = "mixtral_8x7b", layers: int = 3, experts: int = 8, top_k: int = 2) -> Geometry:
    """The same as an object."""
    return Geometry(name, layers, experts, top_k, **SIZES)
