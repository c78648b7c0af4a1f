"""What differs between MoE families, read from their modules. The rest of the engine knows no family.

transformers describes an experts module by a few flags that `@use_experts_implementation` sets; releases
that lack a flag get its default here. A family that needs more gets it here and nowhere else.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import nn

ROUTER_NAMES = ("gate", "router")
"""What an MoE block calls the child that returns (logits [T, E], weights [T, K], indices [T, K])."""

TOP_K_NAMES = ("top_k", "num_experts_per_tok", "moe_topk", "moe_k")
"""What routers and configs call K."""


@dataclass(frozen=True, slots=True)
class ExpertTraits:
    """How an experts module stores and runs one expert.

    Gated: `gate_up_proj` [E, 2F, d], else `up_proj` [E, F, d]; then `down_proj` [E, d, F]; the last two
    dimensions are swapped where `is_transposed`. Biases are named after their matrix.
    """

    has_gate: bool
    has_bias: bool
    is_transposed: bool
    has_post_expert_norm: bool

    @staticmethod
    def of(experts: nn.Module) -> ExpertTraits:
        """The traits of an experts module, with the decorator's defaults."""
        return ExpertTraits(
            has_gate=bool(getattr(experts, "has_gate", True)),
            has_bias=bool(getattr(experts, "has_bias", False)),
            is_transposed=bool(getattr(experts, "is_transposed", False)),
            has_post_expert_norm=bool(getattr(experts, "has_post_expert_norm", False)),
        )

    @property
    def up_name(self) -> str:
        """The parameter that the first product uses."""
        return "gate_up_proj" if self.has_gate else "up_proj"

    @property
    def names(self) -> tuple[str, ...]:
        """The parameters that hold one entry per expert, in blob order."""
        matrices = (self.up_name, "down_proj")
        if not self.has_bias:
            return matrices
        return tuple(name + suffix for name in matrices for suffix in ("", "_bias"))


def is_experts(module: nn.Module) -> bool:
    """True for a module that dispatches through transformers' experts interface."""
    parameters = module._parameters
    return "down_proj" in parameters and hasattr(module, "num_experts") and hasattr(module, "_apply_gate")


def router_of(block: nn.Module) -> nn.Module | None:
    """The router of an MoE block, None if it has no child of a known name."""
    children = dict(block.named_children())
    return next((children[name] for name in ROUTER_NAMES if name in children), None)


class RouterAnswer(NamedTuple):
    """What a router says of T tokens: logits [T, E], weights [T, K] and indices [T, K] of the chosen."""

    logits: torch.Tensor
    weights: torch.Tensor
    experts: torch.Tensor


def router_answer(output: object, expert_count: int) -> RouterAnswer | None:
    """The answer in a router's `output`; None if there is none.

    The order is (logits, weights, indices), but GraniteMoE's in transformers 5.17 answered backwards.
    """
    if not isinstance(output, tuple) or len(output) != 3:
        return None
    if not all(isinstance(part, torch.Tensor) and part.dim() == 2 for part in output):
        return None
    first, weights, last = output
    answer = RouterAnswer(first, weights, last)
    if first.dtype == torch.int64 and last.is_floating_point():
        answer = RouterAnswer(last, weights, first)
    fits = answer.logits.shape[1] == expert_count and answer.weights.shape == answer.experts.shape
    return answer if fits else None


def top_k_of(*holders: object) -> int | None:
    """K, from the first holder (a router, a config) that states it."""
    for holder in holders:
        for name in TOP_K_NAMES:
            value = getattr(holder, name, None)
            if isinstance(value, int):
                return value
    return None
