"""Static placement by layer: llama.cpp and accelerate."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import ClassVar

import numpy as np

from hobbit.api import CacheComponent, CachePolicy, Context, Effect
from hobbit.errors import ConfigError
from hobbit_baselines.lru import Lru
from hobbit_baselines.pinned import Pinned


class Side(Enum):
    """From which end layers are placed on the device."""

    first = "first"
    last = "last"


@dataclass
class StaticLayersComponent(CacheComponent):
    """All experts of as many layers as fit stay on the device, from the `side` given; no others do.

    `scratch` slots are left for copies; a loader that moves whole layers gets a layer's worth instead. Where
    memory is unified and the loader moves single experts, it is what llama.cpp's memory-mapped file then is:
    a least-recently-used page cache over the disk, of all experts.
    """

    name: ClassVar[str] = "static_layers"
    effect: ClassVar[Effect] = Effect.HINT
    source: ClassVar[str] = "llama.cpp, options -ngl and --n-cpu-moe; Hugging Face accelerate, device maps"

    side: Side = Side.first
    scratch: int = 0

    def build(self, context: Context) -> CachePolicy:
        """The cache policy.

        Raises:
            ConfigError: if there is no loader to take the scratch slots from.
        """
        if context.loader is None:
            raise ConfigError("cache=static_layers asks the loader what it moves; build the loader first")
        experts, whole = context.shape.experts, context.loader.whole_layers
        if context.unified and not whole:
            return Lru(context.records, per_layer=False)
        ranking = np.arange(context.shape.layers * experts)
        if self.side is Side.last:
            ranking = ranking[::-1].copy()
        return Pinned(ranking, context.records, experts if whole else self.scratch, step=experts)
