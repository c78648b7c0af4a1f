"""attach: put a runtime behind the experts of a transformers model."""

from __future__ import annotations

import torch
from torch import nn
from transformers import PreTrainedModel

from hobbit.engine.attachment import Attachment
from hobbit.engine.graphs import CudaTape
from hobbit.engine.serving import Recorder
from hobbit.engine.weights import NativeSource
from hobbit.runtime import Runtime


def attach(
    model: PreTrainedModel,
    runtime: Runtime,
    store: NativeSource | None,
    recorder: Recorder | None = None,
    depth: int | None = None,
    graphs: bool = False,
    keep: bool = False,
) -> Attachment:
    """Let `runtime` serve the experts of `model` from now on; `recorder` hears of the routing.

    The model moves to where the device keeps activations. The experts' own parameters are freed, since the
    store holds them (None: they stay, for a runtime that serves the model's own weights). `depth` layers of
    gate look-ahead are computed, by default as many as the runtime wants; a recorder may want more. With
    `graphs`, on CUDA, decode steps over a static KV cache are replayed from recordings and norms run fused.
    With `keep`, the model can be given back whole even if the store has no copy in the checkpoint's dtype.

    Raises:
        ModelError: if the model is not a mixture of experts that hobbit can run.
    """
    attachment = Attachment(model, runtime, store, keep)
    try:
        _equip(attachment, runtime, recorder, depth, graphs)
    except BaseException:
        attachment.detach()
        raise
    return attachment


def _equip(
    attachment: Attachment, runtime: Runtime, recorder: Recorder | None, depth: int | None, graphs: bool
) -> None:
    nn.Module.to(attachment.model, runtime.device.place)  # without its experts: they never all live there
    attachment.look_ahead(runtime.depth if depth is None else depth)
    attachment.renormalise(runtime.loader.renormalise)
    if recorder is not None or runtime.router.needs_logits:
        attachment.catch_logits()
    attachment.listen(recorder)
    place = torch.device(runtime.device.place)
    if graphs and place.type == "cuda":
        attachment.record_steps(CudaTape(place))
        attachment.fuse_norms()
