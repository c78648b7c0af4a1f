"""Whole layers moved: accelerate's offloading."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from hobbit.api import Context, Effect, LoaderComponent
from hobbit_baselines.on_demand import OnDemand


@dataclass
class WholeLayerComponent(LoaderComponent):
    """Brings every expert of a layer, chosen or not, when the layer runs; lossless."""

    name: ClassVar[str] = "whole_layer"
    effect: ClassVar[Effect] = Effect.HINT
    source: ClassVar[str] = "Hugging Face accelerate, cpu_offload and disk_offload hooks"

    def build(self, context: Context) -> WholeLayer:
        """The loader."""
        return WholeLayer()


class WholeLayer(OnDemand):
    """Demand loading of layers instead of experts."""

    whole_layers = True
