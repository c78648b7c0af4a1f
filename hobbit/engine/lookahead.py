"""Gate look-ahead: this layer's gate input put through the routers of the next layers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch

from hobbit.engine.anatomy import MoELayer
from hobbit.engine.gates import LinearGate, read_gate, stacked


class GateLookahead:
    """Router logits of up to `depth` later layers (HOBBIT, section 3.3: the stacking computer).

    Where all routers are plain linear + softmax, a layer's look-ahead is one product with the stacked weights
    of the next routers: a contiguous slice of all of them, so that nothing is held twice. `readable` is
    False where some router cannot be read at all; then there is no look-ahead.
    """

    def __init__(self, layers: Sequence[MoELayer], depth: int) -> None:
        self.depth = depth
        self._layers = len(layers)
        self._experts = layers[0].expert_count
        gates = [read_gate(layer.router, layer.block) for layer in layers]
        self._gates = [gate for gate in gates if gate is not None]
        self.readable = len(self._gates) == len(layers)
        self._slices = self._stack() if self.readable else []

    def logits(self, layer: int, state: torch.Tensor) -> npt.NDArray[np.float32] | None:
        """`project`, on the host."""
        every = self.project(layer, state)
        return None if every is None else every.float().cpu().numpy()

    def project(self, layer: int, state: torch.Tensor) -> torch.Tensor | None:
        """[D, T, E] for the gate input `state` [T, d] of `layer`; D falls at the end, None instead of 0."""
        later = range(layer + 1, min(layer + 1 + self.depth, self._layers))
        if not later or not self.readable:
            return None
        if self._slices:
            flat = self._slices[layer].logits(state)  # [T, D * E]
            return flat.view(len(state), len(later), self._experts).transpose(0, 1)
        return torch.stack([self._gates[index].logits(state) for index in later])

    def _stack(self) -> list[LinearGate]:
        """For each layer, the next `depth` linear gates as one; empty if they do not stack."""
        whole = stacked(self._gates)
        if whole is None:
            return []
        slices = []
        for layer in range(self._layers):
            rows = slice((layer + 1) * self._experts, (layer + 1 + self.depth) * self._experts)
            slices.append(LinearGate(whole.weight[rows], None if whole.bias is None else whole.bias[rows]))
        return slices
