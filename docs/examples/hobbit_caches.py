from dataclasses import dataclass
from typing import ClassVar

from hobbit.api import CacheComponent, Context, ScoredCache, hookimpl


@dataclass
class DeepestFirstComponent(CacheComponent):
    """Evicts the expert of the deepest layer."""

    name: ClassVar[str] = "deepest_first"

    def build(self, context: Context) -> "DeepestFirst":
        return DeepestFirst()


class DeepestFirst(ScoredCache):
    def scores(self, pool, incoming):
        return -pool.layers.astype(float)


@hookimpl
def hobbit_caches():
    return [DeepestFirstComponent]
