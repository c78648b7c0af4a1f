"""The inputs of a recorded step: tensors at fixed addresses, and what else the recording depends on."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import torch
from transformers import StaticCache
from transformers.cache_utils import StaticLayer

CACHE = "past_key_values"
IDS = "input_ids"


def signature(given: Mapping[str, Any]) -> Hashable | None:
    """What a recording of a decode step with these arguments is good for; None if it cannot be recorded.

    It can, if one token a sequence comes by its id, every layer's KV cache stays where it is and counts its
    tokens on the device (plain static layers), and nothing but tensors and plain values is given.
    """
    ids, cache = given.get(IDS), given.get(CACHE)
    if not isinstance(ids, torch.Tensor) or ids.dim() != 2 or ids.shape[1] != 1:
        return None
    if not isinstance(cache, StaticCache) or not all(map(_stays, cache.layers)):
        return None
    parts: list[tuple[Hashable, ...]] = []
    for name, value in sorted(given.items()):
        if isinstance(value, torch.Tensor):
            parts.append((name, value.shape, value.dtype, value.device))
        elif name == CACHE or value is None or isinstance(value, (bool, int, float, str)):
            parts.append((name, id(value) if name == CACHE else value))
        else:
            return None
    return tuple(parts)


def _stays(layer: object) -> bool:
    return type(layer) is StaticLayer and layer.is_initialized


class FixedInputs:
    """Copies of a step's tensors that keep their address; `given` are the arguments with these in place."""

    def __init__(self, given: Mapping[str, Any]) -> None:
        self._tensors = {name: v.clone() for name, v in given.items() if isinstance(v, torch.Tensor)}
        self.given: dict[str, Any] = {**given, **self._tensors}

    def fill(self, given: Mapping[str, Any]) -> None:
        """Take over the tensors of another step with the same signature."""
        for name, tensor in self._tensors.items():
            tensor.copy_(given[name])
