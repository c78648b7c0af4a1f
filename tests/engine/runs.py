"""Runs of tiny models: a policy put together by hand, its runtime, and what comes out of the model."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from hobbit_baselines.lru import LruComponent
from hobbit_baselines.no_prefetch import NoPrefetchComponent
from hobbit_baselines.on_demand import OnDemandComponent
from hobbit_baselines.passthrough import PassthroughComponent
from hobbit_devices.cpu import CpuDevice
from hobbit_quantizers.none import NoQuantizer
from transformers import PreTrainedModel

from hobbit.api import (
    CacheComponent,
    DeviceComponent,
    LoaderComponent,
    PrefetcherComponent,
    QuantizerComponent,
)
from hobbit.assembly import Assembly, assemble
from hobbit.engine.anatomy import find_layers
from hobbit.engine.attach import attach
from hobbit.engine.attachment import Attachment
from hobbit.engine.geometry import measure_geometry
from hobbit.engine.live import LiveExperts
from hobbit.engine.serving import Recorder
from hobbit.setup import MemoryOptions, PrecisionOptions, Setup

CONTEXT = 300
"""Tokens of KV cache that every run reserves for."""


@dataclass
class Policy:
    """The components of a run; by default everything is loaded on demand through one LRU."""

    loader: LoaderComponent = field(default_factory=OnDemandComponent)
    prefetcher: PrefetcherComponent = field(default_factory=NoPrefetchComponent)
    cache: CacheComponent = field(default_factory=lambda: LruComponent(per_layer=False))
    quantizer: QuantizerComponent = field(default_factory=NoQuantizer)
    device: DeviceComponent = field(default_factory=CpuDevice)
    high: str = "native"
    low: str = "native"


@dataclass
class Run:
    """An attached model."""

    model: PreTrainedModel
    live: LiveExperts
    assembly: Assembly
    attachment: Attachment


@contextmanager
def running(
    model: PreTrainedModel,
    policy: Policy,
    slots: int,
    recorder: Recorder | None = None,
    depth: int | None = None,
    graphs: bool = False,
) -> Iterator[Run]:
    """`model` with `policy` behind its experts, and room for `slots` experts in the checkpoint's dtype."""
    layers = find_layers(model)
    geometry = measure_geometry(model, layers, "tiny")
    live = LiveExperts(layers)
    experts = slots * geometry.expert_values * geometry.item_bytes
    budget = geometry.non_expert_bytes + CONTEXT * geometry.kv_bytes_per_token + experts
    setup = Setup(
        policy.device, policy.loader, policy.prefetcher, policy.cache, policy.quantizer,
        PassthroughComponent(),
        memory=MemoryOptions(device=str(budget)), precision=PrecisionOptions(policy.high, policy.low),
    )  # fmt: skip
    assembly = assemble(setup, geometry, tokens=CONTEXT, live=live)
    try:
        with attach(model, assembly.runtime, live, recorder, depth, graphs) as attachment:
            yield Run(model, live, assembly, attachment)
    finally:
        assembly.close()


@torch.no_grad()
def continue_greedily(
    model: PreTrainedModel, ids: torch.Tensor, mask: torch.Tensor, tokens: int, cache: str | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids [B, T + tokens] and the logits [tokens, B, V] that chose them; `cache` as generate has it."""
    out = model.generate(
        ids, attention_mask=mask, max_new_tokens=tokens, do_sample=False, cache_implementation=cache,
        output_logits=True, return_dict_in_generate=True,
    )  # fmt: skip
    return out.sequences, torch.stack(out.logits)


def prompts(batch: int, tokens: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Random ids [B, T] and their mask; every row but the last is padded on the left."""
    ids = torch.randint(2, 97, (batch, tokens), generator=torch.Generator().manual_seed(1))
    mask = torch.ones_like(ids)
    for row in range(batch - 1):
        mask[row, : 5 * (row + 1)] = 0
        ids[row, : 5 * (row + 1)] = 1
    return ids, mask
