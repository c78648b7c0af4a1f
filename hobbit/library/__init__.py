"""The Python API: `load` and `attach` put a policy behind the experts of a transformers model."""

from __future__ import annotations

from hobbit.library.offload import Offload
from hobbit.library.opening import attach, load
from hobbit.library.stats import PhaseStats, Stats

__all__ = ["Offload", "PhaseStats", "Stats", "attach", "load"]
