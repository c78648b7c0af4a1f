"""What every prefetcher must keep."""

from __future__ import annotations

import numpy as np

from hobbit.api import Prefetcher, PrefetcherComponent, PrefetchPlan
from hobbit.testing.requirement import require
from hobbit.testing.scene import Scene, Step
from hobbit.testing.stand_ins import Holding


def check_prefetcher(component: PrefetcherComponent, scene: Scene) -> None:
    """Plans name later layers within reach, and experts and levels that exist, once each.

    What is fetched is not held, what is kept is. Equal prefetchers asked alike plan alike, with and without
    look-ahead (families whose router cannot be read give none).

    Raises:
        ContractError: if a rule is broken.
    """
    for levels in (1, 2):
        prefetcher, twin = (component.build(scene.context(levels)) for _ in range(2))
        require(prefetcher.depth >= 0, f"depth counts layers, so not {prefetcher.depth}")
        require(prefetcher.staging >= 0, f"staging counts slots, so not {prefetcher.staging}")
        random = np.random.default_rng(0)
        every = (1 << levels) - 1
        everything = Holding([[every] * scene.shape.experts] * scene.shape.layers)
        for step in scene.steps():
            if step.layer == 0 and step.routing.tokens > 1:
                prefetcher.begin_sequence()
                twin.begin_sequence()
            something = Holding(
                random.integers(0, every + 1, (scene.shape.layers, scene.shape.experts)).tolist()
            )
            for lookahead, view in (
                (step.lookahead, something),
                (step.lookahead, everything),
                (None, something),
            ):
                plan = prefetcher.plan(step.layer, step.demands, lookahead, view)
                same = twin.plan(step.layer, step.demands, lookahead, view)
                require(plan == same, f"equal prefetchers asked alike differ in layer {step.layer}")
                if plan is not None:
                    _check_plan(plan, prefetcher, step, view, levels, scene)


def _check_plan(
    plan: PrefetchPlan, prefetcher: Prefetcher, step: Step, view: Holding, levels: int, scene: Scene
) -> None:
    # Without look-ahead (depth 0) a prefetcher may know the layers of this pass from elsewhere, or plan for
    # the next one.
    first = step.layer + 1 if prefetcher.depth else 0
    reach = prefetcher.depth or scene.shape.layers
    for copies, held in ((plan.fetch, False), (plan.keep, True)):
        require(len(set(copies)) == len(copies), f"the plan names something twice: {copies}")
        for layer, expert, level in copies:
            what = f"expert {expert} of layer {layer} at level {level}, planned in layer {step.layer}"
            require(first <= layer <= step.layer + reach, f"not a later layer within the depth: {what}")
            exists = (
                layer < scene.shape.layers and expert in range(scene.shape.experts) and level in range(levels)
            )
            require(exists, f"there is no {what}")
            is_held = bool(view.held(layer, expert) >> level & 1)
            require(
                is_held == held, f"{'keeps what is not held' if held else 'fetches what is held'}: {what}"
            )
