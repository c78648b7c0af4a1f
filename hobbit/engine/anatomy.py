"""Anatomy: where the MoE layers of a transformers model are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import nn
from transformers import PreTrainedModel

from hobbit.engine.families import ExpertTraits, is_experts, router_of, top_k_of
from hobbit.errors import ModelError


@dataclass(frozen=True, slots=True)
class MoELayer:
    """One MoE layer. `index` counts MoE layers only; `name` is the experts module's path in the model.

    `block` holds `router` (None: not a child of a known name) and `experts`; `decoder` is the decoder layer
    around it and `trunk` the module that owns the stack of decoder layers; `top_k` is K.
    """

    index: int
    name: str
    experts: nn.Module
    block: nn.Module
    router: nn.Module | None
    decoder: nn.Module
    trunk: nn.Module
    top_k: int

    @property
    def traits(self) -> ExpertTraits:
        """How the experts are stored and run."""
        return ExpertTraits.of(self.experts)

    @property
    def expert_count(self) -> int:
        """E."""
        return int(self.experts.num_experts)  # type: ignore[arg-type]


def find_layers(model: PreTrainedModel) -> tuple[MoELayer, ...]:
    """The MoE layers of `model`, in the order they run.

    Raises:
        ModelError: if there is none, they differ in the number of experts, or K is stated nowhere.
    """
    found = [(name, module) for name, module in model.named_modules() if is_experts(module)]
    kind = type(model).__name__
    if not found:
        raise ModelError(
            f"{kind} is not a mixture of experts that hobbit can run: no module uses transformers' experts "
            "interface; choose an MoE checkpoint such as Mixtral, Qwen3-MoE or OLMoE"
        )
    layers = tuple(_layer(model, index, name, experts) for index, (name, experts) in enumerate(found))
    counts = {layer.expert_count for layer in layers}
    if len(counts) > 1:
        raise ModelError(f"{kind} has layers of {sorted(counts)} experts; all must have the same number")
    return layers


def _layer(model: PreTrainedModel, index: int, name: str, experts: nn.Module) -> MoELayer:
    path = name.split(".")
    block = model.get_submodule(".".join(path[:-1]))
    depth = _stack_depth(path)
    decoder = model.get_submodule(".".join(path[: depth + 1]))
    trunk = model.get_submodule(".".join(path[: depth - 1]))
    router = router_of(block)
    top_k = top_k_of(router, block, model.config.get_text_config())
    if top_k is None:
        raise ModelError(
            f"neither the router beside {name} nor the config says how many experts a token uses"
        )
    return MoELayer(index, name, experts, block, router, decoder, trunk, top_k)


def _stack_depth(path: Sequence[str]) -> int:
    """Position of the decoder layer's number in the path: "model.layers.3.mlp.experts" gives 2."""
    for depth, part in enumerate(path):
        if part.isdigit():
            return depth
    raise ModelError(f"{'.'.join(path)} does not lie in a stack of decoder layers: unsupported model")
