"""Where HOBBIT's misses run: on the device, on the host, or on both."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import Protocol

from hobbit.api import (
    HIGH,
    LOW,
    Action,
    Context,
    CostModel,
    Decision,
    Demand,
    LayerShares,
    host_is_faster,
    least_maximum,
)
from hobbit.errors import ConfigError

_HOST = tuple(Decision(Action.HOST, level) for level in (HIGH, LOW))


class RunMode(Enum):
    """Where a miss may run (HOBBIT, section 4)."""

    device = "device"
    cooperative = "cooperative"
    balanced = "balanced"  # ours, after FreeToken: link and host share a layer's misses
    shared = "shared"  # ours: host and device share every miss


class Placement(Protocol):
    """Sends misses elsewhere: decisions to load become decisions to run where the expert lies."""

    def place(self, demands: Sequence[Demand], decisions: list[Decision], misses: list[int]) -> None:
        """`misses` are the places of those decisions to load; there is at least one."""
        ...


def placement_of(mode: RunMode, context: Context) -> Placement | None:
    """None: every miss is loaded. Raises ConfigError if the device cannot tell what its host costs."""
    together = mode in (RunMode.balanced, RunMode.shared)
    if mode is RunMode.device or (together and context.unified):
        return None
    if context.costs is None:
        raise ConfigError(f"loader.mode={mode.value} needs a device with host costs; use mode=device")
    if mode is RunMode.cooperative:
        return Cooperative(context.costs)
    if mode is RunMode.balanced:
        return Balanced(context.costs)
    return Shared(context.costs, context.shape.top_k)


class Cooperative:
    """Each miss by itself: on the host where that is sooner than copying and running it."""

    def __init__(self, costs: CostModel) -> None:
        self._costs = costs

    def place(self, demands: Sequence[Demand], decisions: list[Decision], misses: list[int]) -> None:
        """See `Placement`."""
        for place in misses:
            level = decisions[place].level
            if host_is_faster(self._costs, level, demands[place].tokens):
                decisions[place] = _HOST[level]


class Balanced:
    """The misses with the fewest tokens, then the least weight, on the host: as many as end soonest."""

    def __init__(self, costs: CostModel) -> None:
        self._costs = costs

    def place(self, demands: Sequence[Demand], decisions: list[Decision], misses: list[int]) -> None:
        """See `Placement`."""
        costs = self._costs
        order = sorted(misses, key=lambda place: (demands[place].tokens, demands[place].weight))
        levels = [decisions[place].level for place in order]
        host = [
            costs.host_ns(level, demands[place].tokens) for place, level in zip(order, levels, strict=True)
        ]
        share = least_maximum(host, [costs.copy_ns(level) for level in levels])
        for place, level in list(zip(order, levels, strict=True))[:share]:
            decisions[place] = _HOST[level]


class Shared(Balanced):
    """One share for all misses of the layer; `balanced` where some precision cannot be read in place."""

    def __init__(self, costs: CostModel, top_k: int) -> None:
        super().__init__(costs)
        self._top_k = top_k
        self._share = LayerShares(costs)

    def place(self, demands: Sequence[Demand], decisions: list[Decision], misses: list[int]) -> None:
        """See `Placement`."""
        tokens = sum(demand.tokens for demand in demands) // self._top_k
        hits = tuple([level for action, level, _ in decisions if action is Action.USE])
        missing = tuple([(decisions[place].level, demands[place].tokens) for place in misses])
        share = self._share(tokens, hits, missing)
        if share is None:
            super().place(demands, decisions, misses)
            return
        for place in misses:
            decisions[place] = Decision(Action.HOST, decisions[place].level, share)
