"""ResidentServer: every expert at hand, no policy. The reference that quality is measured against."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import torch

from hobbit.api import ExpertPayload, RecordedExperts, Routing, SettledExperts


class ResidentServer:
    """Serves every chosen expert from `tensors(layer, expert)`, through the payload maths of any run."""

    depth = 0
    hosts = False

    def __init__(self, tensors: Callable[[int, int], Mapping[str, torch.Tensor]]) -> None:
        self._tensors = tensors

    def begin_sequence(self) -> None:
        """Nothing to forget."""

    def begin_pass(self, tokens: int, context: int) -> None:
        """Nothing to count."""

    def layer(self, layer: int, routing: Routing, payload: ExpertPayload | None) -> None:
        """Run the chosen experts, in ascending order."""
        if payload is None:
            return
        for expert in np.unique(routing.experts).tolist():
            payload.compute(expert, self._tensors(layer, expert))

    def end_pass(self) -> None:
        """Nothing to close."""

    def settled(self, activation: str | None, tokens: int) -> SettledExperts | None:
        """None: its experts lie where they lie."""
        return None

    def recorded(self, activation: str | None, tokens: int, top_k: int) -> RecordedExperts | None:
        """None: there is no device to record."""
        return None
