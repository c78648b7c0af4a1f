"""The runtime: one implementation for live, traced and simulated runs."""

from __future__ import annotations

from hobbit.runtime.demands import LogitsLookahead, demands_from
from hobbit.runtime.events import LayerEvent, Observer
from hobbit.runtime.metrics import Metrics, Phase
from hobbit.runtime.residency import Residency
from hobbit.runtime.runtime import Runtime
from hobbit.runtime.transfers import Transfers

__all__ = [
    "LayerEvent",
    "LogitsLookahead",
    "Metrics",
    "Observer",
    "Phase",
    "Residency",
    "Runtime",
    "Transfers",
    "demands_from",
]
