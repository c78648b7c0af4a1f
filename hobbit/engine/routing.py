"""The routing of some tokens through a model at rest: no policy, nothing encoded."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from transformers import PreTrainedModel

from hobbit.engine.anatomy import find_layers
from hobbit.engine.attachment import Attachment
from hobbit.engine.origin import LoadedOrigin, origin_of
from hobbit.engine.resident import ResidentServer
from hobbit.trace import Trace, TraceHeader, TraceRecorder


@torch.no_grad()
def resident_routing(model: PreTrainedModel, ids: Sequence[int]) -> Trace:
    """Experts and weights (no logits) of one forward pass over `ids` [T] with the model's own experts,
    which are read from the disk one by one where the model was opened without them.

    Raises:
        StoreError: if one cannot be read.
        ModelError: if the model is no mixture of experts, or another attachment has its experts.
    """
    layers = find_layers(model)
    recorder = TraceRecorder(TraceHeader("", len(layers), layers[0].expert_count, layers[0].top_k))
    origin = origin_of(model) or LoadedOrigin(layers)
    with origin.reading() as read, Attachment(model, ResidentServer(read), None) as attachment:
        attachment.listen(recorder)
        model(torch.tensor([list(ids)], device=model.device))
    return recorder.trace()
