"""One entry to the contract suite: it finds the checks that fit a component's kind."""

from __future__ import annotations

from collections.abc import Callable

from hobbit.api import (
    BatcherComponent,
    CacheComponent,
    Component,
    DeviceComponent,
    LoaderComponent,
    PrefetcherComponent,
    QuantizerComponent,
    RouterComponent,
)
from hobbit.testing.batchers import check_batcher
from hobbit.testing.caches import check_cache
from hobbit.testing.loaders import check_loader
from hobbit.testing.prefetchers import check_prefetcher
from hobbit.testing.requirement import ContractError, require
from hobbit.testing.routers import check_router
from hobbit.testing.scene import Scene, scenes


def check_component(component: type[Component] | Component) -> None:
    """Try a component, or one with options of your choice, on several geometries.

    Raises:
        ContractError: if it breaks a rule of its seam.
        unittest.SkipTest: if it is a device that is not here.
    """
    chosen = component() if isinstance(component, type) else component
    require(bool(chosen.name), f"{type(chosen).__name__} has no name")
    require(bool((type(chosen).__doc__ or "").strip()), f"{chosen.name} has no docstring to be listed with")
    check = _check_of(chosen)
    for scene in scenes():
        check(scene)


def _check_of(chosen: Component) -> Callable[[Scene], None]:
    # Quantizers and devices work on tensors: their checks import torch, the others must not need it.
    match chosen:
        case LoaderComponent():
            return lambda scene: check_loader(chosen, scene)
        case PrefetcherComponent():
            return lambda scene: check_prefetcher(chosen, scene)
        case CacheComponent():
            return lambda scene: check_cache(chosen, scene)
        case RouterComponent():
            return lambda scene: check_router(chosen, scene)
        case BatcherComponent():
            return lambda scene: check_batcher(chosen, scene)
        case QuantizerComponent():
            from hobbit.testing.quantizers import check_quantizer

            return lambda scene: check_quantizer(chosen, scene)
        case DeviceComponent():
            from hobbit.testing.devices import check_device

            return lambda scene: check_device(chosen, scene)
    raise ContractError(f"{chosen.kind!r} is not a kind of component that has a contract")
