"""Prefetching where the routes are known: Read-ME."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from hobbit.api import (
    HIGH,
    Context,
    Demand,
    Effect,
    ExpertKey,
    Lookahead,
    Prefetcher,
    PrefetcherComponent,
    PrefetchPlan,
    ResidencyView,
)
from hobbit.errors import ConfigError, TraceError


@dataclass
class OracleComponent(PrefetcherComponent):
    """Brings the next layer's experts while this one runs, from routes known ahead; an oracle.

    Read-ME knows them because one router reads the token ids before the backbone runs; ours come from a
    recorded run, as Belady's do: training that router, and executing its routes, is not part of this. The
    first layer of a pass is not foreseen, since its tokens have yet to be sampled: let the cache keep it.
    """

    name: ClassVar[str] = "oracle"
    effect: ClassVar[Effect] = Effect.EXACT
    source: ClassVar[str] = "Read-ME, arXiv 2410.19123"
    needs_future: ClassVar[bool] = True

    def build(self, context: Context) -> Oracle:
        """The prefetcher.

        Raises:
            ConfigError: if no recorded demands are given.
        """
        if context.future is None:
            raise ConfigError(
                "prefetcher=oracle needs the demands of a recorded run; record one first, or use none"
            )
        return Oracle(context.future, context.shape.experts)


class Oracle(Prefetcher):
    """Follows the recorded demands, flat ids `layer * E + expert`, through layers and sequences."""

    def __init__(self, future: npt.NDArray[np.int64], experts: int) -> None:
        layers, chosen = np.divmod(future, experts)
        starts = np.flatnonzero(np.diff(layers, prepend=-1))
        self._layers = layers[starts].tolist()
        self._chosen = [part.tolist() for part in np.split(chosen, starts[1:])]
        self._step = -1
        self._layer = -1

    def plan(
        self, layer: int, demands: Sequence[Demand], lookahead: Lookahead | None, view: ResidencyView
    ) -> PrefetchPlan | None:
        """All that the next layer will demand: what is missing is fetched, what is held kept.

        Raises:
            TraceError: if the run has left the recorded one.
        """
        self._follow(layer)
        following = self._step + 1
        if self._layers[following : following + 1] != [layer + 1]:
            return None
        plan = PrefetchPlan()
        for expert in self._chosen[following]:
            copies = plan.keep if view.held(layer + 1, expert) & 1 else plan.fetch
            copies.append(ExpertKey(layer + 1, expert, HIGH))
        return plan

    def _follow(self, layer: int) -> None:
        """Step to `layer` in the record, unless it is where we are."""
        if layer == self._layer:
            return
        self._step += 1
        self._layer = layer
        if self._layers[self._step : self._step + 1] != [layer]:
            raise TraceError(
                f"layer {layer} runs, but the recorded run does not come to it at step {self._step}; "
                "record the same prompt with the same seed again"
            )
