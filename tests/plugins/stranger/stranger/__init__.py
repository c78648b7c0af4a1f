"""A plugin as anyone may write it: one cache policy, and a preset that uses it."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from hobbit.api import CacheComponent, CachePolicy, Context, ExpertKey, PoolView, ScoredCache, hookimpl


class HighestIdFirst(ScoredCache):
    """Evicts the expert with the highest flat id."""

    def scores(self, pool: PoolView, incoming: ExpertKey) -> npt.NDArray[np.float64]:
        return -pool.experts.astype(np.float64)


@dataclass
class HighestId(CacheComponent):
    """Evicts the highest flat id; of no use but to be seen."""

    name: ClassVar[str] = "highest_id"
    source: ClassVar[str] = "a stranger"
    strength: int = 3

    def build(self, context: Context) -> CachePolicy:
        return HighestIdFirst()


@hookimpl
def hobbit_caches() -> Iterable[type[CacheComponent]]:
    return [HighestId]


@hookimpl
def hobbit_config_paths() -> Iterable[str]:
    return ["pkg://stranger.conf"]
