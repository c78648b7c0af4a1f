"""What loaders have in common that send a part of a layer's misses to the host."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from hobbit.api import HIGH, RESIDENT, Action, Context, CostModel, Decision, Demand
from hobbit.errors import ConfigError

_LOAD = Decision(Action.LOAD, HIGH)
_HOST = Decision(Action.HOST, HIGH)


def costs_of(context: Context, loader: str) -> CostModel:
    """The device's cost model. Raises ConfigError if it has none to weigh the host with."""
    if context.costs is None:
        raise ConfigError(f"loader={loader} needs a device with host costs; use loader=on_demand")
    return context.costs


class HostSplit(ABC):
    """Uses what is resident at its one precision; `hosted` says which misses run on the host."""

    levels = 1
    renormalise = False
    whole_layers = False

    @abstractmethod
    def hosted(self, misses: Sequence[Demand], hits: Sequence[Demand]) -> Sequence[Demand]:
        """Those of `misses` that the host runs; the others are copied."""

    def resolve(self, layer: int, demands: Sequence[Demand], held: Sequence[int]) -> list[Decision]:
        """USE where bit 0 is set, else HOST or LOAD."""
        missing = [not mask & 1 for mask in held]
        if not any(missing):
            return [RESIDENT] * len(missing)
        pairs = list(zip(demands, missing, strict=True))
        misses = [demand for demand, absent in pairs if absent]
        served = iter(self.served(misses, [demand for demand, absent in pairs if not absent]))
        return [next(served) if absent else RESIDENT for absent in missing]

    def served(self, misses: Sequence[Demand], hits: Sequence[Demand]) -> list[Decision]:
        """HOST or LOAD for each of `misses`."""
        hosted = {demand.expert for demand in self.hosted(misses, hits)}
        return [_HOST if demand.expert in hosted else _LOAD for demand in misses]

    def level_for(self, score: float) -> int | None:
        """Always high."""
        return HIGH


def lightest_first(demands: Sequence[Demand]) -> list[Demand]:
    """By tokens, then gate weight: what the host is to take first."""
    return sorted(demands, key=lambda demand: (demand.tokens, demand.weight))
