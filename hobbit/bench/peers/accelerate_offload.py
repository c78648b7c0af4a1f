"""accelerate: every weight lies in host memory and is moved when its module runs."""

from __future__ import annotations

from importlib.util import find_spec

import torch
from torch import nn

from hobbit.bench.peers.peer import PeerCase, decode_speed, prefill_speed
from hobbit.bench.row import PeerRow

LAYERS, TOKENS = 2, 2
"""So many are run, and scaled to all layers: a layer takes a third of a second."""


def measure(case: PeerCase) -> PeerRow:
    """`cpu_offload`, which moves all fused experts of a layer, however much memory the device has."""
    if find_spec("accelerate") is None:
        return PeerRow("accelerate", how="not installed: pip install 'hobbit-moe[peers]'")
    from accelerate import cpu_offload

    short = case.shortened(LAYERS)
    model = short.model(torch.device("cpu"))
    nn.Module.to(model, "cpu")
    cpu_offload(model, execution_device=case.backend.place)
    times = short.timed(model, TOKENS, 1)
    scale = short.geometry.layers / case.geometry.layers
    return PeerRow(
        "accelerate",
        decode_speed(times) * scale,
        prefill_speed(times, case.plan.prompt) * scale,
        f"cpu_offload; measured on {short.geometry.layers} layers and {TOKENS} tokens, scaled to "
        f"{case.geometry.layers} layers",
        case.backend.peak_bytes(),
    )
