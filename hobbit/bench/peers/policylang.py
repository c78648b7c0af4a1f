"""MoE-PolicyLang: expert offloading behind transformers' experts interface, by a policy in its language."""

from __future__ import annotations

from importlib.util import find_spec

import torch

from hobbit.bench.peers.peer import PeerCase, TracedRouters, decode_speed, prefill_speed
from hobbit.bench.row import PeerRow

PACKAGE = "moe_policylang"
LAYERS, TOKENS = 4, 8
"""So many are run, and scaled to all layers."""


def measure(case: PeerCase) -> PeerRow:
    """Its LRU cache, with the budget's share of each layer's experts on the device, on the same routing."""
    if find_spec(PACKAGE) is None:
        return PeerRow("policylang", how="not installed: pip install moe-policylang")
    if case.backend.place.type != "cuda":
        return PeerRow("policylang", how="not measured: it runs on CUDA devices only")
    import moe_policylang

    short = case.shortened(LAYERS)
    slots = max(short.geometry.top_k, round(case.fraction * short.geometry.experts))
    model = short.model(torch.device("cpu"))
    routers = TracedRouters(model, case.trace)
    moe_policylang.attach(model, f"policy lru {{ cache {{ capacity = {slots}  eviction = lru }} }}")
    try:
        times = short.timed(model, min(TOKENS, case.plan.tokens), 1)
    finally:
        routers.remove()
    scale = short.geometry.layers / case.geometry.layers
    return PeerRow(
        "policylang",
        decode_speed(times) * scale,
        prefill_speed(times, case.plan.prompt) * scale,
        f"LRU, {slots} of {short.geometry.experts} experts a layer, the same routing; measured on "
        f"{short.geometry.layers} layers and {TOKENS} tokens, scaled to {case.geometry.layers} layers",
        case.backend.peak_bytes(),
    )
