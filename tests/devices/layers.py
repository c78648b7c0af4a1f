"""Layers to be served by a device, and the calls of a runtime that serve them, with fates to choose."""

from __future__ import annotations

from copy import copy
from typing import Any

import numpy as np
import torch
from torch.nn.functional import linear, silu

from hobbit.api import Copy, Device, ExpertKey, Job, RecordedExperts
from tests.devices.conftest import SLOTS, Experts


class Layer:
    """A payload of T tokens with random choices of `top_k` among `experts`."""

    activation = "silu"
    host_hidden: torch.Tensor | None = None
    recorded: RecordedExperts | None = None

    def __init__(self, seed: int, tokens: int, experts: int = 6, top_k: int = 3, hidden: int = 64) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.hidden = torch.randn(tokens, hidden, generator=generator).bfloat16()
        chosen = torch.rand(tokens, experts, generator=generator).topk(top_k).indices
        self.experts = chosen.numpy()
        self.weights = torch.rand(tokens, top_k, generator=generator)
        self.output: torch.Tensor | None = None
        self.served = 0

    def to(self, place: torch.device) -> Layer:
        """The same layer with its activations elsewhere."""
        there = copy(self)
        there.hidden, there.weights = self.hidden.to(place), self.weights.to(place)
        return there

    @property
    def host_weights(self) -> np.ndarray:
        return self.weights.float().cpu().numpy()  # type: ignore[no-any-return]

    @property
    def chosen(self) -> list[int]:
        return np.unique(self.experts[self.experts >= 0]).tolist()  # type: ignore[no-any-return]

    def deliver(self, served: int) -> torch.Tensor:
        self.served = served
        self.output = torch.full_like(self.hidden, torch.nan)
        return self.output

    def expected(self, experts: dict[int, dict[str, torch.Tensor]]) -> torch.Tensor:
        """The output from `experts`, each run on the rows that a stand-in kernel would give it."""
        hidden, weighted = self.hidden.cpu(), self.weights.cpu()
        total = torch.zeros(hidden.shape)
        for expert in self.chosen:
            if expert not in experts:
                continue
            tokens, ranks = np.nonzero(self.experts == expert)
            tensors = experts[expert]
            few = len(hidden) == 1
            rows = [tokens[i : i + 1] for i in range(len(tokens))] if few else [tokens]
            outputs = []
            for at in rows:
                gate, up = linear(hidden[torch.from_numpy(at)], tensors["gate_up_proj"]).chunk(2, dim=-1)
                outputs.append(linear(silu(gate) * up, tensors["down_proj"]))
            weights = weighted[torch.from_numpy(tokens), torch.from_numpy(ranks), None]
            total[torch.from_numpy(tokens)] += weights * torch.cat(outputs).float()
        return total.bfloat16()


def serve(
    experts: Experts, device: Device, index: int, layer: Layer, fates: list[str], seed: int
) -> torch.Tensor:
    """One layer as a runtime would: waves of as many experts as there are slots, host experts beside them."""
    ran: dict[int, dict[str, torch.Tensor]] = {}
    waves: dict[int, list[Copy]] = {}
    hosted = []
    places = [(level, slot) for level in (0, 1) for slot in range(SLOTS)]
    for expert in layer.chosen:
        fate = fates[expert]
        if fate == "skip" and ran:
            continue
        level, slot = places[(expert + seed) % len(places)]
        key = ExpertKey(index, expert, level)
        ran[expert] = experts.decoded(key)
        if fate == "host":
            hosted.append(Job(key, -1, 1))
            continue
        if fate == "cancelled":
            wrong = experts.copy(ExpertKey(1 - index, expert, level), slot, urgent=False)
            device.load(wrong)
            device.cancel(wrong)
        transfer = experts.copy(key, slot, urgent=fate != "prefetch")
        turn = sum(slot == other.slot and level == other.key.level for w in waves.values() for other in w)
        waves.setdefault(turn, []).append(transfer)
    payload: Any = layer
    device.run_host(index, hosted, payload)
    for wave in waves.values():
        for transfer in wave:
            device.load(transfer)
        for transfer in wave:
            if not transfer.urgent:
                device.hurry(transfer)
        device.wait(wave)
        device.run(index, [Job(transfer.key, transfer.slot, 1) for transfer in wave], payload)
    device.end_layer(index)
    return layer.expected(ran)
