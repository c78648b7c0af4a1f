"""Token-level dynamic expert loading: HOBBIT, section 3.2."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from hobbit.api import (
    HIGH,
    LOW,
    RESIDENT,
    SKIPPED,
    Action,
    Context,
    Decision,
    Demand,
    Effect,
    LoaderComponent,
    serving_level,
)
from hobbit.errors import ConfigError
from hobbit_paper.placement import Placement, RunMode, placement_of
from hobbit_paper.thresholds import calibrate_thresholds

_USE = RESIDENT, Decision(Action.USE, LOW)
_LOAD = tuple(Decision(Action.LOAD, level) for level in (HIGH, LOW))


class Calibrate(Enum):
    """On which models the thresholds are found anew, from the routing of the run's own prompt or trace."""

    never = "never"
    elsewhere = "elsewhere"  # not on the bundled model, whose thresholds these are
    always = "always"


@dataclass
class MixedPrecisionComponent(LoaderComponent):
    """Misses load at high or low precision, or are skipped, by unimportance.

    Unimportance s is the sum of the normalised gate weights ranked before the expert: s <= `t1` loads high,
    `t1` < s <= `t2` loads low, s > `t2` skips. The defaults are the paper's for Mixtral-8x7B. `t1=1` loads
    everything high; `t2 <= t1` knows no low precision and skips above `t1`; `t2=1` never skips.

    Our reading, where the paper is silent: a resident high copy also serves a low or skip decision, a
    resident low copy a skip decision, and a high demand only with `accept_low`. `renormalise` scales the
    gate weights that remain after a skip (off: the layer's output just lacks the skipped expert).
    In `mode=cooperative` a miss runs on the host where that is faster than copying and running it; in
    `mode=balanced` the misses of a layer are split so that link and host, side by side, are done soonest (at
    whatever precision they have). In `mode=shared` host and device share each miss, as in `loader=shared`,
    and nothing that is missed enters the cache; where they cannot, it is `balanced`. On unified memory, where
    both draw from one disk, these two are `device`.

    `calibrate` replaces the thresholds by quantiles of the routing at hand, such that `calibrate_high` of its
    selections load high and `calibrate_low` low (the paper's shares on Mixtral-8x7B).
    """

    name: ClassVar[str] = "mixed_precision"
    effect: ClassVar[Effect] = Effect.QUALITY
    source: ClassVar[str] = "HOBBIT, arXiv 2411.01433, section 3.2"

    t1: float = 0.6
    t2: float = 0.9
    accept_low: bool = False
    renormalise: bool = False
    mode: RunMode = RunMode.device
    calibrate: Calibrate = Calibrate.never
    calibrate_high: float = 0.67
    calibrate_low: float = 0.30

    def calibrates(self, bundled: bool, chosen: Collection[str]) -> bool:
        """As `calibrate` says; thresholds that the user chose are kept."""
        if {"t1", "t2"} & set(chosen):
            return False
        return self.calibrate is Calibrate.always or (self.calibrate is Calibrate.elsewhere and not bundled)

    def calibrated(self, scores: npt.NDArray[np.float64]) -> MixedPrecisionComponent:
        """The same loader with thresholds that give the wanted shares on `scores` [n].

        Raises:
            ConfigError: if the wanted shares are none.
        """
        high, low = self.calibrate_high, self.calibrate_low
        if not (high >= 0 and low >= 0 and high + low <= 1):  # so written, NaN fails too
            raise ConfigError(
                f"loader.calibrate_high={high} and loader.calibrate_low={low} are not shares of one whole; "
                "give two numbers from 0 that sum to 1 at most"
            )
        t1, t2 = calibrate_thresholds(scores, high, low)
        return replace(self, t1=t1, t2=t2, calibrate=Calibrate.never)

    def build(self, context: Context) -> MixedPrecision:
        """The loader.

        Raises:
            ConfigError: if a threshold lies outside [0, 1], or the device cannot tell what its host costs.
        """
        for option, value in (("t1", self.t1), ("t2", self.t2)):
            if not 0 <= value <= 1:
                raise ConfigError(
                    f"loader.{option}={value} lies outside [0, 1]; scores are shares of gate weight"
                )
        placement = placement_of(self.mode, context)
        return MixedPrecision(self.t1, self.t2, self.accept_low, self.renormalise, placement)


class MixedPrecision:
    """Decides by thresholds on unimportance; `placement` says where misses run (None: on the device)."""

    whole_layers = False

    def __init__(
        self,
        t1: float,
        t2: float,
        accept_low: bool = False,
        renormalise: bool = False,
        placement: Placement | None = None,
    ) -> None:
        self.levels = 1 if t1 >= 1 or t2 <= t1 else 2
        self.renormalise = renormalise
        self._t1 = t1
        self._t2 = t2
        self._accept_low = accept_low
        self._placement = placement

    def level_for(self, score: float) -> int | None:
        """HIGH up to t1, LOW up to t2, else None (section 3.2, step 3)."""
        if score <= self._t1:
            return HIGH
        return LOW if score <= self._t2 else None

    def resolve(self, layer: int, demands: Sequence[Demand], held: Sequence[int]) -> list[Decision]:
        """One decision per demand; see the component for what a resident copy may serve."""
        decisions = [
            RESIDENT if mask & 1 else self._decide(demand, mask)  # a high copy serves everything
            for demand, mask in zip(demands, held, strict=True)
        ]
        if self._placement is not None:
            misses = [place for place, (action, _, _) in enumerate(decisions) if action is Action.LOAD]
            if misses:
                self._placement.place(demands, decisions, misses)
        return decisions

    def _decide(self, demand: Demand, held: int) -> Decision:
        wanted = self.level_for(demand.score)
        lowest = LOW if wanted is None or self._accept_low else wanted
        resident = serving_level(held, lowest) if held else None
        if resident is not None:
            return _USE[resident]
        if wanted is None:
            return SKIPPED
        return _LOAD[wanted]
