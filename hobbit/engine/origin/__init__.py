"""Where the experts of a model come from: its own parameters, a checkpoint's files, a bundle."""

from __future__ import annotations

from hobbit.engine.origin.bundle import BundleOrigin
from hobbit.engine.origin.checkpoint import CheckpointOrigin
from hobbit.engine.origin.loaded import LoadedOrigin
from hobbit.engine.origin.origin import Origin, origin_of, remember_origin

__all__ = ["BundleOrigin", "CheckpointOrigin", "LoadedOrigin", "Origin", "origin_of", "remember_origin"]
