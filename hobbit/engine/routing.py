"""The routing of some tokens through a model at rest: no policy, nothing encoded."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from transformers import PreTrainedModel

from hobbit.engine.anatomy import find_layers
from hobbit.engine.attachment import Attachment
from hobbit.engine.resident import ResidentServer
from hobbit.engine.weights import expert_tensors
from hobbit.trace import Trace, TraceHeader, TraceRecorder


@torch.no_grad()
def resident_routing(model: PreTrainedModel, ids: Sequence[int]) -> Trace:
    """Experts and weights (no logits) of one forward pass over `ids` [T] with the model's own experts.

    Raises:
        ModelError: if the model is no mixture of experts, or another attachment has its experts.
    """
    layers = find_layers(model)
    recorder = TraceRecorder(TraceHeader("", len(layers), layers[0].expert_count, layers[0].top_k))
    server = ResidentServer(lambda layer, expert: expert_tensors(layers[layer], expert))
    with Attachment(model, server, None) as attachment:
        attachment.listen(recorder)
        model(torch.tensor([list(ids)], device=model.device))
    return recorder.trace()
