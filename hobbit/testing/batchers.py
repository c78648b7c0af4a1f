"""What every batcher must keep."""

from __future__ import annotations

from itertools import chain

import numpy as np

from hobbit.api import BatcherComponent
from hobbit.testing.requirement import require
from hobbit.testing.scene import Scene

_BUDGETS = (1, 3, 100)
_WAITING = (1, 7)


def check_batcher(component: BatcherComponent, scene: Scene) -> None:
    """Every waiting token runs once, no batch is over budget or empty, equal lines are shared out alike.

    Raises:
        ContractError: if a rule is broken.
    """
    random = np.random.default_rng(0)
    shape = scene.shape
    for waiting in _WAITING:
        logits = random.normal(size=(waiting, shape.layers, shape.experts))
        routes = np.argsort(-logits, axis=2)[..., : shape.top_k]
        for budget in _BUDGETS:
            given = routes.copy()
            one, other = (
                [list(batch) for batch in component.build(scene.context()).arrange(given, budget)]
                for _ in range(2)
            )
            require(np.array_equal(given, routes), "the routes that came in are left alone")
            require(one == other, "equal lines are shared out alike")
            require(
                sorted(chain(*one)) == list(range(waiting)), f"each of {waiting} tokens runs once, not {one}"
            )
            sizes = [len(batch) for batch in one]
            require(min(sizes) > 0 and max(sizes) <= budget, f"batches of {sizes}, not 1 to {budget} tokens")
