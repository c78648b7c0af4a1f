"""How far a run of the bundled model in its own dtype is from the model in float32."""

from __future__ import annotations

from functools import cache

import torch
from transformers import PreTrainedModel

from hobbit.config.compose import compose
from hobbit.engine.checkpoint import load_checkpoint

PROMPTS, CONTEXT = 24, 64


@torch.no_grad()
def _logits(model: PreTrainedModel) -> torch.Tensor:
    """Of the last token of each prompt [N, V], which follows the others as a decode step."""
    ids = torch.randint(2, 4096, (PROMPTS, CONTEXT), generator=torch.Generator().manual_seed(1))
    rows = []
    for row in ids.to(model.device).split(1):
        cache = model(row[:, :-1], use_cache=True).past_key_values
        rows.append(model(row[:, -1:], past_key_values=cache).logits[0, -1])
    return torch.stack(rows).float().cpu()


@cache
def _exact() -> torch.Tensor:
    model, _ = load_checkpoint(compose([]).model.location, dtype="float32")
    return _logits(model)


def rounding_error(model: PreTrainedModel) -> float:
    """Root mean square over the logits, the median prompt's.

    Not a bound for each logit: in a few prompts rounding alone turns a router's choice, and with it the
    logits by several times as much.
    """
    return float((_logits(model) - _exact()).square().mean(dim=1).sqrt().median())
