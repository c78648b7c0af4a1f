"""The experts' own weights: read, taken out of the model, put back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import torch
from torch import nn

from hobbit.engine.anatomy import MoELayer

_ASIDE = "hobbit_aside"


class NativeSource(Protocol):
    """Whoever may have the experts as the checkpoint has them."""

    def native(self, layer: int, expert: int) -> Mapping[str, torch.Tensor] | None:
        """The tensors of one expert, bit for bit the checkpoint's; None if no level is lossless."""
        ...


def expert_tensors(layer: MoELayer, expert: int) -> dict[str, torch.Tensor]:
    """The tensors of one expert as views of the model's parameters, in blob order."""
    return {name: _parameter(layer, name).data[expert] for name in layer.traits.names}


def has_weights(layers: Sequence[MoELayer]) -> bool:
    """False for a model that was opened without its experts."""
    return not any(_parameter(layers[0], name).is_meta for name in layers[0].traits.names)


def take_out(layers: Sequence[MoELayer]) -> None:
    """Free the experts' parameters: what remains are empty tensors of the same dtype and device.

    Parameters of a model that was opened without its experts, on torch's meta device, are laid aside.
    """
    for layer in layers:
        for name in layer.traits.names:
            parameter = _parameter(layer, name)
            if parameter.is_meta:
                layer.experts.__dict__.setdefault(_ASIDE, {})[name] = parameter
                empty = torch.empty(0, dtype=parameter.dtype)
                layer.experts.register_parameter(name, nn.Parameter(empty, requires_grad=False))
            else:
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
    """Give the model its experts back; False, and nothing done, if `source` has no lossless level.

    A model that was opened without its experts is again as it was opened.
    """
    if _ASIDE in layers[0].experts.__dict__:
        for layer in layers:
            _shapes_back(layer)
        return True
    if source.native(0, 0) is None:
        return False
    for layer in layers:
        held = [source.native(layer.index, expert) for expert in range(layer.expert_count)]
        for name in layer.traits.names:
            parameter = _parameter(layer, name)
            rows = [tensors[name] for tensors in held if tensors is not None]
            parameter.data = torch.stack(rows).to(parameter.device)
    return True


def _shapes_back(layer: MoELayer) -> None:
    """Undo `take_out` for a layer that never had weights."""
    aside: dict[str, nn.Parameter] = layer.experts.__dict__.pop(_ASIDE)
    for name, parameter in aside.items():
        layer.experts.register_parameter(name, parameter)


def _parameter(layer: MoELayer, name: str) -> nn.Parameter:
    return layer.experts.get_parameter(name)
