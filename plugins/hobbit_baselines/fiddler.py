"""Fiddler: run a miss on the host if that is sooner than copying it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import ClassVar

from hobbit.api import (
    HIGH,
    Context,
    CostModel,
    Demand,
    Effect,
    LoaderComponent,
    host_is_faster,
    least_maximum,
)
from hobbit_baselines.host_split import HostSplit, costs_of, lightest_first


class Objective(Enum):
    """What the placement of a layer's misses minimises."""

    sum = "sum"  # each expert's own time, one after another: the published rule
    max = "max"  # the time until host and device are both done


@dataclass
class FiddlerComponent(LoaderComponent):
    """A miss with s tokens runs on the host if that is sooner than copying it, else it is copied.

    On the host iff host(s) < copy + device(s); Fiddler's host(s) is alpha * s, measured at start, here it
    comes from the device's constants, so that decisions never follow the clock. `objective=max` is ours: the
    misses with the fewest tokens go to the host as long as host and device, working side by side, then end
    sooner; where memory is unified both draw from the same disk, and the published rule is kept.
    """

    name: ClassVar[str] = "fiddler"
    effect: ClassVar[Effect] = Effect.HINT
    source: ClassVar[str] = "Fiddler, arXiv 2402.07033, section 3.2"

    objective: Objective = Objective.sum

    def build(self, context: Context) -> HostSplit:
        """The loader. Raises ConfigError if the device cannot tell what its host costs."""
        costs = costs_of(context, self.name)
        together = self.objective is Objective.max and not context.unified
        return SideBySide(costs) if together else OneByOne(costs)


class OneByOne(HostSplit):
    """Decides about each miss by itself."""

    def __init__(self, costs: CostModel) -> None:
        self._costs = costs

    def hosted(self, misses: Sequence[Demand], hits: Sequence[Demand]) -> list[Demand]:
        """Whoever the host serves sooner."""
        return [demand for demand in misses if host_is_faster(self._costs, HIGH, demand.tokens)]


class SideBySide(HostSplit):
    """Decides about all misses of a layer together; the device also has the hits to run."""

    def __init__(self, costs: CostModel) -> None:
        self._costs = costs

    def hosted(self, misses: Sequence[Demand], hits: Sequence[Demand]) -> list[Demand]:
        """The lightest, as many as let the slower side end soonest."""
        costs, order = self._costs, lightest_first(misses)
        host = [costs.host_ns(HIGH, demand.tokens) for demand in order]
        device = [costs.copy_ns(HIGH) + costs.device_ns(HIGH, demand.tokens) for demand in order]
        busy = sum(costs.device_ns(HIGH, demand.tokens) for demand in hits)
        return order[: least_maximum(host, device, busy)]
