"""Decode steps as recordings: what lies between two calls of the experts is launched at once."""

from __future__ import annotations

from hobbit.engine.graphs.decode import DecodeGraphs
from hobbit.engine.graphs.tape import CudaTape, Tape

__all__ = ["CudaTape", "DecodeGraphs", "Tape"]
