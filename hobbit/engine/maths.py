"""The arithmetic of one expert, bit for bit that of transformers' eager experts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import torch
from torch.nn.functional import linear

from hobbit.engine.anatomy import MoELayer
from hobbit.engine.plain_gate import plain_activation


class ExpertMaths:
    """Runs an expert of one layer on weights from anywhere: up product, gate, down product.

    The gating mechanism is the module's own, so that a family's activation, clamps and order of gate and up
    are never repeated here. `activation` names what gates a plain gated expert, see `ExpertPayload`.
    """

    __slots__ = ("_act", "_bias", "_has_gate", "_norm", "_transposed", "_up", "activation")

    def __init__(self, layer: MoELayer) -> None:
        traits, experts = layer.traits, cast(Any, layer.experts)
        self.activation = plain_activation(layer.experts, traits)
        self._up = traits.up_name
        self._act = experts._apply_gate if traits.has_gate else experts.act_fn
        self._transposed = traits.is_transposed
        self._bias = traits.has_bias
        self._norm = experts.post_expert_norm if traits.has_post_expert_norm else None

    def __call__(self, state: torch.Tensor, tensors: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Output [t, d] of the expert with these `tensors` for `state` [t, d], not yet weighted."""
        out = self._project(self._act(self._project(state, tensors, self._up)), tensors, "down_proj")
        return out if self._norm is None else self._norm(out)

    def _project(self, state: torch.Tensor, tensors: Mapping[str, torch.Tensor], name: str) -> torch.Tensor:
        out = state @ tensors[name] if self._transposed else linear(state, tensors[name])
        return out + tensors[name + "_bias"] if self._bias else out
