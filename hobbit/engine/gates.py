"""Gates: what the router of a layer would say of any input, as logits.

A router is read by trying it. One that multiplies by its weight and takes a softmax of the top K is read as
a linear gate, whose logits are all there is to know. Any other (sigmoid, bias-corrected, grouped, ...) is
asked through its own module, and its answer written as logits whose softmax over the top K gives its weights.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn.functional import linear

from hobbit.engine.families import RouterAnswer, router_answer

_PROBES = 16
_SPREAD = 2.0
"""Standard deviation of the logits that the probes aim at: wide enough to tell a softmax from a sigmoid."""

_TOLERANCE = 0.02
"""Largest difference of normalised gate weights that rounding to bfloat16 explains."""


@dataclass(frozen=True, slots=True)
class LinearGate:
    """Logits are `linear(x.to(dtype), weight, bias)`; `weight` is [E, d], already of `dtype`."""

    weight: torch.Tensor
    bias: torch.Tensor | None

    def logits(self, state: torch.Tensor) -> torch.Tensor:
        """Logits [T, E] for the gate input [T, d]."""
        return linear(state.to(self.weight.dtype), self.weight, self.bias)


@dataclass(frozen=True, slots=True)
class ModuleGate:
    """Asks the router's own module for E `experts`, with the tensors of its `block` that it also takes."""

    router: nn.Module
    experts: int
    block: nn.Module | None = None
    extras: tuple[str, ...] = ()

    def ask(self, state: torch.Tensor) -> RouterAnswer | None:
        """What the router answers to the gate input [T, d]; None if it does not answer as routers do."""
        output = self.router(state, *(getattr(self.block, name) for name in self.extras))
        return router_answer(output, self.experts)

    def logits(self, state: torch.Tensor) -> torch.Tensor:
        """log(weight) of the chosen experts, -inf for the others: [T, E], in the dtype of the logits."""
        answer = self.ask(state)
        assert answer is not None  # it was tried when it was read
        logits, weights, experts = answer
        written = weights.float().clamp_min(torch.finfo(torch.float32).tiny).log().to(logits.dtype)
        return torch.full_like(logits, float("-inf")).scatter(-1, experts, written)


Gate = LinearGate | ModuleGate


@torch.no_grad()
def read_gate(router: nn.Module | None, block: nn.Module | None = None) -> Gate | None:
    """The gate of a router, None if it cannot be read (no router, or it does not answer as routers do).

    `block` is the MoE block around it, which may hold tensors that the router takes (a bias of MiniMax-M2).
    """
    weight = getattr(router, "weight", None)
    if router is None or not isinstance(weight, torch.Tensor) or weight.dim() != 2:
        return None
    probes = _probes(weight)
    gate = ModuleGate(router, len(weight), block, _extras(router))
    try:
        answer = gate.ask(probes)
    except (RuntimeError, TypeError, ValueError, IndexError, AttributeError):
        return None
    if answer is None or len(answer.logits) != _PROBES:
        return None
    logits, weights, _ = answer
    if _is_softmax(logits, weights):
        for dtype in (weight.dtype, torch.float32):
            linear_gate = LinearGate(weight.detach().to(dtype), _bias(router, dtype))
            if torch.equal(linear_gate.logits(probes).float(), logits.float()):
                return linear_gate
    return gate


def stacked(gates: Sequence[Gate | None]) -> LinearGate | None:
    """All gates as one, [L * E, d], where each is linear and computes in the same dtype; else None."""
    linears = [gate for gate in gates if isinstance(gate, LinearGate)]
    if len(linears) < len(gates) or len({gate.weight.dtype for gate in linears}) != 1:
        return None
    biases = [gate.bias for gate in linears if gate.bias is not None]
    if biases and len(biases) < len(linears):
        return None
    return LinearGate(torch.cat([gate.weight for gate in linears]), torch.cat(biases) if biases else None)


def _extras(router: nn.Module) -> tuple[str, ...]:
    """What `forward` needs after its input."""
    needed = list(inspect.signature(router.forward).parameters.values())[1:]
    return tuple(p.name for p in needed if p.default is p.empty and p.kind is p.POSITIONAL_OR_KEYWORD)


def _probes(weight: torch.Tensor) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    raw = torch.randn(_PROBES, weight.shape[1], generator=generator).to(weight.device)
    spread = float((raw @ weight.float().T).std())
    return (raw * (_SPREAD / spread if spread > 0 else 1.0)).to(weight.dtype)


def _bias(router: nn.Module, dtype: torch.dtype) -> torch.Tensor | None:
    bias = getattr(router, "bias", None)
    return bias.detach().to(dtype) if isinstance(bias, torch.Tensor) else None


def _is_softmax(logits: torch.Tensor, weights: torch.Tensor) -> bool:
    """Whether the gate weights, normalised, are the softmax of the K largest logits."""
    expected = logits.float().topk(weights.shape[-1], dim=-1).values.softmax(dim=-1)
    given = weights.float().sort(dim=-1, descending=True).values
    given = given / given.sum(dim=-1, keepdim=True)
    return bool(torch.allclose(given, expected, atol=_TOLERANCE, rtol=0.0))
