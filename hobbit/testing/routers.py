"""What every router transform must keep."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from hobbit.api import Effect, RouterComponent, Routing
from hobbit.testing.requirement import require
from hobbit.testing.scene import Scene
from hobbit.testing.stand_ins import Holding


def check_router(component: RouterComponent, scene: Scene) -> None:
    """T and K stay, a token's experts exist and are distinct, weights are finite; the input is left alone.

    Each token keeps one of its experts at least. A transform that is a mere hint changes nothing at all.

    Raises:
        ContractError: if a rule is broken.
    """
    router, twin = (component.build(scene.context()) for _ in range(2))
    require(isinstance(router.needs_logits, bool), f"needs_logits is a bool, not {router.needs_logits!r}")
    require(router.depth >= 0, f"depth counts layers, so not {router.depth}")
    random = np.random.default_rng(0)
    view = Holding(random.integers(0, 4, (scene.shape.layers, scene.shape.experts)).tolist())
    for step in scene.steps():
        # A copy: the scene is shared with other checks, and this router may write to what it is given.
        given = replace(
            step.routing, experts=step.routing.experts.copy(), weights=step.routing.weights.copy()
        )
        if not router.needs_logits:
            given.logits = None
        if not router.depth:
            given.lookahead = None
        routed = router.transform(step.layer, given, view)
        require(_same(given, step.routing), "the routing that came in is left alone")
        require(_same(routed, twin.transform(step.layer, given, view)), "equal routers asked alike differ")
        _check_routing(routed, given, scene.shape.experts)
        require(component.effect is not Effect.HINT or _same(routed, given), "a hint changes no routing")


def _same(one: Routing, other: Routing) -> bool:
    kept = [np.True_ if routing.kept is None else routing.kept for routing in (one, other)]
    return all(
        np.array_equal(*pair) for pair in ((one.experts, other.experts), (one.weights, other.weights), kept)
    )


def _check_routing(routed: Routing, given: Routing, experts: int) -> None:
    for name in ("experts", "weights"):
        new, old = getattr(routed, name), getattr(given, name)
        require(new.shape == old.shape, f"{name} keep their shape {old.shape}, not {new.shape}")
        require(new.dtype == old.dtype, f"{name} keep their dtype {old.dtype}, not {new.dtype}")
    require(
        bool(((routed.experts >= 0) & (routed.experts < experts)).all()), "only experts that exist are chosen"
    )
    ranked = np.sort(routed.experts, axis=1)
    require(bool((ranked[:, 1:] != ranked[:, :-1]).all()), "no token chooses an expert twice")
    require(bool(np.isfinite(routed.weights).all()), "weights are finite")
    kept = routed.kept
    if kept is not None:
        require(kept.shape == given.experts.shape and kept.dtype == np.bool_, "kept is a bool a selection")
        require(bool(kept.any(axis=1).all()), "every token keeps an expert")
