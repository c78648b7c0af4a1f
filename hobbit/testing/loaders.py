"""What every loader must keep."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hobbit.api import HIGH, Action, Decision, Demand, Effect, Loader, LoaderComponent
from hobbit.runtime.demands import add_unchosen
from hobbit.testing.requirement import require
from hobbit.testing.scene import Scene


def check_loader(component: LoaderComponent, scene: Scene) -> None:
    """One legal decision per demand, the same each time; precision never rises with the score.

    A loader that is not marked as changing quality serves everything at high precision.

    Raises:
        ContractError: if a rule is broken.
    """
    loader = component.build(scene.context())
    require(loader.levels in (1, 2), f"levels is 1 or 2, not {loader.levels!r}")
    require(isinstance(loader.renormalise, bool), f"renormalise is a bool, not {loader.renormalise!r}")
    require(isinstance(loader.whole_layers, bool), f"whole_layers is a bool, not {loader.whole_layers!r}")
    lossless = component.effect is not Effect.QUALITY
    _check_levels(loader, lossless)
    random = np.random.default_rng(0)
    for step in scene.steps():
        held = random.integers(0, 1 << loader.levels, len(step.demands)).tolist()
        for masks in (held, [0] * len(held)):
            _check_decisions(loader, step.layer, step.demands, masks, lossless)
        if loader.whole_layers:
            demands = list(step.demands)
            add_unchosen(demands, scene.shape.experts)
            _check_decisions(loader, step.layer, demands, [0] * len(demands), lossless)


def _check_levels(loader: Loader, lossless: bool) -> None:
    levels = [loader.level_for(score) for score in np.linspace(0, 1, 41).tolist()]
    legal = (*range(loader.levels), None)
    require(all(level in legal for level in levels), f"level_for gives one of {legal}, not {levels}")
    # A skip ranks below every precision.
    ranks = [loader.levels if level is None else level for level in levels]
    require(ranks == sorted(ranks), f"level_for never gives a higher score a higher precision: {levels}")
    require(not lossless or set(levels) == {HIGH}, f"only an effect of quality lets precision fall: {levels}")


def _check_decisions(
    loader: Loader, layer: int, demands: Sequence[Demand], held: Sequence[int], lossless: bool
) -> None:
    decisions = list(loader.resolve(layer, demands, held))
    require(len(decisions) == len(demands), f"{len(demands)} demands got {len(decisions)} decisions")
    require(
        decisions == list(loader.resolve(layer, demands, held)), "the same demands get the same decisions"
    )
    for demand, mask, decision in zip(demands, held, decisions, strict=True):
        what = f"{decision} for {demand} held as {mask:#b}"
        require(isinstance(decision, Decision), f"not a Decision: {what}")
        action, level, share = decision
        if action == Action.SKIP:
            require(not lossless, f"only an effect of quality may skip: {what}")
            continue
        require(level in range(loader.levels), f"no such level: {what}")
        require(0 <= share <= 1, f"the host's share is none: {what}")
        require(action != Action.USE or bool(mask >> level & 1), f"used, but not resident: {what}")
        require(not lossless or level == HIGH, f"only an effect of quality may serve low: {what}")
