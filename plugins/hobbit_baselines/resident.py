"""Everything resident: the upper bound that offloading is measured against."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from hobbit.api import (
    HIGH,
    Allocation,
    CacheComponent,
    Context,
    Effect,
    ExpertKey,
    PoolView,
    RoutingShape,
    ScoredCache,
)
from hobbit.errors import BudgetError


@dataclass
class ResidentComponent(CacheComponent):
    """A slot for every expert, whatever the memory budget says; nothing is ever evicted."""

    name: ClassVar[str] = "resident"
    effect: ClassVar[Effect] = Effect.HINT
    source: ClassVar[str] = "the model without offloading"
    unlimited: ClassVar[bool] = True

    def build(self, context: Context) -> Resident:
        """The cache policy."""
        return Resident()


class Resident(ScoredCache):
    """Insists on L x E high slots."""

    def allocate(self, level: int, slots: int, shape: RoutingShape) -> Allocation:
        """One global pool.

        Raises:
            BudgetError: if not all experts fit at high precision.
        """
        needed = shape.layers * shape.experts
        if level == HIGH and slots < needed:
            raise BudgetError(
                f"cache=resident needs slots for all {needed} experts, not {slots}; use another cache"
            )
        return super().allocate(level, slots, shape)

    def scores(self, pool: PoolView, incoming: ExpertKey) -> npt.NDArray[np.float64]:
        """Zeros, [S]: only a level that is not wholly resident ever asks."""
        return np.zeros(len(pool.experts))
