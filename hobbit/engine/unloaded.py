"""A model without its experts: everything else loaded, in eval mode, as from_pretrained would have it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import AutoModelForCausalLM, GenerationConfig, PreTrainedModel

from hobbit.engine import experts
from hobbit.engine.anatomy import MoELayer
from hobbit.errors import ModelError

GENERATION = "generation_config.json"


def load_rest(
    model: PreTrainedModel,
    layers: Sequence[MoELayer],
    weights: Iterable[tuple[str, torch.Tensor]],
    folder: Path,
) -> PreTrainedModel:
    """Fill `model`, which lies on the meta device, with `weights`; its experts' parameters stay there.

    Tied weights become one, buffers that no file holds are computed. The model, which is in eval mode, runs
    only while a runtime serves its experts.

    Raises:
        ModelError: if a weight is missing, or is none of the model's.
    """
    for name, tensor in weights:
        _place(model, name, tensor)
    _tie(model)
    _compute_buffers(model)
    own = {f"{layer.name}.{name}" for layer in layers for name in layer.traits.names}
    tensors = (*model.named_parameters(), *model.named_buffers())
    missing = sorted(name for name, tensor in tensors if tensor.is_meta and name not in own)
    if missing:
        raise ModelError(f"it lacks {len(missing)} weights, such as {missing[0]}; copy it again")
    if (folder / GENERATION).is_file():
        model.generation_config = GenerationConfig.from_pretrained(folder)
    model.set_experts_implementation(experts.IMPLEMENTATION)
    return model


def _place(model: PreTrainedModel, name: str, tensor: torch.Tensor) -> None:
    path, _, leaf = name.rpartition(".")
    try:
        owner = model.get_submodule(path)
        held: torch.Tensor | None = owner._parameters.get(leaf)
        held = owner._buffers[leaf] if held is None else held
    except (AttributeError, KeyError):
        raise ModelError(f"it holds {name}, which the model has no place for; convert it again") from None
    if held is None or held.shape != tensor.shape:
        shape = None if held is None else list(held.shape)
        raise ModelError(f"{name} has the shape {list(tensor.shape)}, the model's own is {shape}")
    if leaf in owner._parameters:
        owner._parameters[leaf] = nn.Parameter(tensor, requires_grad=held.requires_grad)
    else:
        owner._buffers[leaf] = tensor


def _tie(model: PreTrainedModel) -> None:
    """One parameter where the config says so: the one that a file holds, or both hold alike."""
    tied: dict[str, str] = getattr(model, "all_tied_weights_keys", None) or {}
    for pair in tied.items():
        first, second = (model.get_parameter(name) for name in pair)
        if first.is_meta:
            _replace(model, pair[0], second)
        elif second.is_meta or torch.equal(first, second):
            _replace(model, pair[1], first)


def _replace(model: PreTrainedModel, name: str, parameter: nn.Parameter) -> None:
    path, _, leaf = name.rpartition(".")
    model.get_submodule(path)._parameters[leaf] = parameter


def _compute_buffers(model: PreTrainedModel) -> None:
    """Give the model the buffers, and tensors kept as plain attributes, that its config alone determines.

    A second model is built for them, whose parameters are never more than shapes.
    """
    modules = dict(model.named_modules())
    if not any(_shapeless(module) for module in modules.values()):
        return
    factory: Any = AutoModelForCausalLM  # it has no annotations
    with _parameters_on_meta():
        donor = factory.from_config(model.config, dtype=model.dtype, trust_remote_code=False)
    for path, source in donor.named_modules():
        for holder, name in _shapeless(modules[path]):
            found = source._buffers if holder is modules[path]._buffers else source.__dict__
            holder[name] = found[name]


def _shapeless(module: nn.Module) -> list[tuple[dict[str, Any], str]]:
    """Where a module holds tensors on the meta device beside its parameters."""
    return [
        (holder, name)
        for holder in (module._buffers, module.__dict__)
        for name, value in holder.items()
        if isinstance(value, torch.Tensor) and value.is_meta
    ]


@contextmanager
def _parameters_on_meta() -> Iterator[None]:
    """Modules that are built meanwhile keep the shapes of their parameters alone."""
    plain: Any = nn.Module.register_parameter

    def register(module: nn.Module, name: str, parameter: nn.Parameter | None) -> None:
        if parameter is not None and not parameter.is_meta:
            parameter = nn.Parameter(parameter.data.to("meta"), requires_grad=parameter.requires_grad)
        plain(module, name, parameter)

    replaced: Any = nn.Module
    replaced.register_parameter = register
    try:
        yield
    finally:
        replaced.register_parameter = plain
