"""Norms in two launches instead of seven: what a step between two experts' calls spends most launches on."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn
from torch.nn.functional import rms_norm
from transformers import PreTrainedModel

_PROBES = 4

Forward = Callable[[torch.Tensor], torch.Tensor]


class FusedNorms:
    """Runs the RMSNorms of a model through torch's fused kernel, until `remove`.

    As in transformers, the normalised state is rounded to the model's dtype before the weight: results differ
    only by the order in which a mean is added up. A norm is known by trying it: one that answers otherwise
    (a weight that is added to 1, a mean taken away) is left alone. `count` says how many were not.
    """

    def __init__(self, model: PreTrainedModel) -> None:
        self._modules: list[nn.Module] = []
        for module in model.modules():
            fused = _fused(module)
            if fused is not None and "forward" not in vars(module) and _agrees(module, fused):
                module.forward = fused
                self._modules.append(module)

    @property
    def count(self) -> int:
        """Norms that run fused."""
        return len(self._modules)

    def remove(self) -> None:
        """Give the norms their own `forward` back."""
        for module in self._modules:
            del module.forward
        self._modules.clear()


def _fused(module: nn.Module) -> Forward | None:
    """The fused forward of what looks like an RMSNorm."""
    weight = getattr(module, "weight", None)
    eps = getattr(module, "variance_epsilon", getattr(module, "eps", None))
    named = type(module).__name__.endswith("RMSNorm")
    if not named or not isinstance(weight, torch.Tensor) or weight.dim() != 1 or not isinstance(eps, float):
        return None

    def forward(hidden_states: torch.Tensor) -> torch.Tensor:
        return weight * rms_norm(hidden_states, weight.shape, None, eps)

    return forward


@torch.no_grad()
def _agrees(module: nn.Module, fused: Forward) -> bool:
    """Whether both give the same for random states, but for a rounding."""
    weight = module.get_parameter("weight")
    generator = torch.Generator().manual_seed(0)
    state = torch.randn(_PROBES, len(weight), generator=generator).to(weight.device, weight.dtype)
    try:
        own, other = module(state), fused(state)
    except (RuntimeError, TypeError):
        return False
    unit = torch.finfo(weight.dtype).eps
    return own.dtype == other.dtype and torch.allclose(own, other, rtol=2 * unit, atol=unit)
