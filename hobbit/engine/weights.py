"""The experts' own weights: read, taken out of the model, put back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import torch
from torch import nn

from hobbit.engine.anatomy import MoELayer


class NativeSource(Protocol):
    """A store that may hold experts in the checkpoint's own dtype."""

    def native(self, layer: int, expert: int) -> Mapping[str, torch.Tensor] | None:
        """The tensors of one expert, bit for bit the checkpoint's; None if no level is native."""
        ...


def expert_tensors(layer: MoELayer, expert: int) -> dict[str, torch.Tensor]:
    """The tensors of one expert as views of the model's parameters, in blob order."""
    return {name: _parameter(layer, name).data[expert] for name in layer.traits.names}


def take_out(layers: Sequence[MoELayer]) -> None:
    """Free the experts' parameters: what remains are empty tensors of the same dtype and device."""
    for layer in layers:
        for name in layer.traits.names:
            parameter = _parameter(layer, name)
            parameter.data = parameter.data.new_empty(0)


class KeptExperts:
    """The experts' parameters of `layers` as they are now, kept while they are out of the model."""

    def __init__(self, layers: Sequence[MoELayer]) -> None:
        parameters = [_parameter(layer, name) for layer in layers for name in layer.traits.names]
        self._kept = [(parameter, parameter.data) for parameter in parameters]

    def put_back(self) -> None:
        """Give them back, where the model is now."""
        for parameter, data in self._kept:
            parameter.data = data.to(parameter.device)


def put_back(layers: Sequence[MoELayer], source: NativeSource) -> bool:
    """Give the model its experts back; False, and nothing done, if `source` holds no native level."""
    if source.native(0, 0) is None:
        return False
    for layer in layers:
        held = [source.native(layer.index, expert) for expert in range(layer.expert_count)]
        for name in layer.traits.names:
            parameter = _parameter(layer, name)
            rows = [tensors[name] for tensors in held if tensors is not None]
            parameter.data = torch.stack(rows).to(parameter.device)
    return True


def _parameter(layer: MoELayer, name: str) -> nn.Parameter:
    return layer.experts.get_parameter(name)
