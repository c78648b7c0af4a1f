"""Which experts gate in the plain way, so that kernels that know nothing of families may run them."""

from __future__ import annotations

from torch import nn
from transformers.activations import SiLUActivation
from transformers.integrations import moe

from hobbit.engine.families import ExpertTraits

_SILU = (nn.SiLU, SiLUActivation)


def plain_activation(experts: nn.Module, traits: ExpertTraits) -> str | None:
    """The gate's name, "silu", for experts that compute down_proj (silu(gate) * up) without biases.

    None for all others: clamps, other gates, interleaved or transposed matrices, norms behind them.
    """
    odd = traits.has_bias or traits.is_transposed or traits.has_post_expert_norm or not traits.has_gate
    if odd or not getattr(experts, "is_concatenated", True):
        return None
    default = getattr(moe, "_default_apply_gate", None)
    if default is None or getattr(type(experts), "_apply_gate", None) is not default:
        return None
    return "silu" if isinstance(getattr(experts, "act_fn", None), _SILU) else None
