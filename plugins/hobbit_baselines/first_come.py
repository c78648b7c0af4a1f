"""Batches in order of arrival: the plain way to serve a queue."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from hobbit.api import Batch, BatcherComponent, Context, Effect


@dataclass
class FirstComeComponent(BatcherComponent):
    """Runs waiting tokens together in the order in which they came."""

    name: ClassVar[str] = "first_come"
    effect: ClassVar[Effect] = Effect.HINT
    source: ClassVar[str] = "first come, first served"

    def build(self, context: Context) -> FirstCome:
        """The batcher."""
        return FirstCome()


class FirstCome:
    """Cuts the line into stretches; it does not look at routes."""

    def arrange(self, routes: npt.NDArray[np.int64], budget: int) -> list[Batch]:
        """`budget` tokens at a time, from the front of the line."""
        waiting = len(routes)
        return [list(range(start, min(start + budget, waiting))) for start in range(0, waiting, budget)]
