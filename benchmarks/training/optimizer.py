"""Muon for the square matrices and AdamW for the rest, written to be captured in one CUDA graph.

Muon: Keller Jordan, 2024, https://kellerjordan.github.io/posts/muon/; every [n, 128, 128] stack of the model
is part of one batch [N, 128, 128], orthogonalised together. AdamW: arXiv 1711.05101.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn


def orthogonalise(matrices: Tensor, steps: int = 5) -> Tensor:
    """Return about U V^T for each matrix U S V^T of [N, rows, columns], by Newton-Schulz in bfloat16."""
    a, b, c = 3.4445, -4.7750, 2.0315
    x = matrices.bfloat16()
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(steps):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x


@dataclass
class Rates:
    """Peak learning rates and decays; the schedule multiplies both rates by one factor."""

    muon: float = 0.02
    adam: float = 5e-3
    muon_decay: float = 0.04
    adam_decay: float = 0.1
    momentum: float = 0.95
    betas: tuple[float, float] = (0.9, 0.95)
    clip: float = 1.0


class Optimizer:
    """One step over all parameters; state and factors live in tensors, so that a CUDA graph can replay it."""

    def __init__(self, model: nn.Module, rates: Rates) -> None:
        self.rates = rates
        named = list(model.named_parameters())
        self.matrices: list[Tensor] = [p for _, p in named if p.ndim == 3]
        self.decayed: list[Tensor] = [p for _, p in named if p.ndim == 2]
        self.plain: list[Tensor] = [p for _, p in named if p.ndim == 1]
        device = named[0][1].device
        self.factor = torch.zeros((), device=device)  # the schedule's factor in [0, 1]
        self.steps = torch.zeros((), device=device)
        self.momentum = torch.cat([torch.zeros_like(p) for p in self.matrices])
        self.first = [torch.zeros_like(p) for p in self.decayed + self.plain]
        self.second = [torch.zeros_like(p) for p in self.decayed + self.plain]

    def _muon(self, gradients: list[Tensor]) -> None:
        gradient = torch.cat(gradients)
        self.momentum.lerp_(gradient, 1 - self.rates.momentum)
        update = orthogonalise(gradient.lerp(self.momentum, self.rates.momentum)).float()
        rate = self.factor * self.rates.muon
        update = (update * rate).split([len(p) for p in self.matrices])
        torch._foreach_mul_(self.matrices, 1 - rate * self.rates.muon_decay)
        torch._foreach_sub_(self.matrices, list(update))

    def _adam(self, gradients: list[Tensor]) -> None:
        parameters, (beta1, beta2) = self.decayed + self.plain, self.rates.betas
        torch._foreach_lerp_(self.first, gradients, 1 - beta1)
        torch._foreach_mul_(self.second, beta2)
        torch._foreach_addcmul_(self.second, gradients, gradients, 1 - beta2)
        rate = self.factor * self.rates.adam
        scale = torch.sqrt(1 - beta2**self.steps) / (1 - beta1**self.steps) * rate
        denominator = torch._foreach_sqrt(self.second)
        torch._foreach_add_(denominator, 1e-8)
        update = torch._foreach_div(self.first, denominator)
        torch._foreach_mul_(update, scale)
        torch._foreach_mul_(self.decayed, 1 - rate * self.rates.adam_decay)
        torch._foreach_sub_(parameters, update)

    @torch.no_grad()
    def step(self) -> Tensor:
        """Clip the gradients, update the parameters in place and return the gradient norm before clipping."""
        parameters = self.matrices + self.decayed + self.plain
        gradients = [p.grad for p in parameters if p.grad is not None]
        norm = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients)))
        torch._foreach_mul_(gradients, (self.rates.clip / (norm + 1e-6)).clamp(max=1.0))
        self.steps += 1
        self._muon(gradients[: len(self.matrices)])
        self._adam(gradients[len(self.matrices) :])
        return norm

    def state(self) -> dict[str, Tensor | list[Tensor]]:
        """Return every tensor that the next step depends on."""
        return {
            "steps": self.steps,
            "momentum": self.momentum,
            "first": self.first,
            "second": self.second,
        }

    @torch.no_grad()
    def restore(self, state: dict[str, Tensor | list[Tensor]]) -> None:
        """Copy a state returned by `state` into place."""
        self.steps.copy_(state["steps"])  # type: ignore[arg-type]
        self.momentum.copy_(state["momentum"])  # type: ignore[arg-type]
        torch._foreach_copy_(self.first, state["first"])
        torch._foreach_copy_(self.second, state["second"])
