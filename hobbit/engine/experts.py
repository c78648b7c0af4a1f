"""The experts function: the one place where a transformers model calls us.

It receives (gate input, top-k index, top-k weights) after routing, from every MoE family that uses
transformers' experts interface, so no model code is ours.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import nn
from transformers.integrations.moe import ALL_EXPERTS_FUNCTIONS

from hobbit.api import Routing
from hobbit.engine.anatomy import MoELayer
from hobbit.engine.lookahead import GateLookahead
from hobbit.engine.maths import ExpertMaths
from hobbit.engine.payload import ExpertCall, Frame
from hobbit.engine.readback import Readback
from hobbit.engine.serving import LayerServer, Recorder
from hobbit.errors import ModelError

IMPLEMENTATION = "hobbit"
_SLOT = "hobbit_layer"


class Cut(Protocol):
    """Takes a layer's call while a forward pass is recorded: nothing is computed then."""

    def __call__(self, layer: AttachedLayer, hidden: torch.Tensor, index: torch.Tensor,
                 weights: torch.Tensor, readback: Readback) -> torch.Tensor:  # fmt: skip
        """Where the output [T, d] for `hidden` [T, d] will lie once the recording is replayed."""
        ...


class AttachedLayer:
    """One MoE layer in our hands: turns a call of its experts module into a served layer.

    `cut`, if set, takes the calls instead: a forward pass is being recorded, not run.
    """

    __slots__ = ("_maths", "cut", "index", "logits", "lookahead", "recorder", "renormalise", "server")

    def __init__(self, layer: MoELayer, server: LayerServer) -> None:
        self.index = layer.index
        self._maths = ExpertMaths(layer)
        self.server = server
        self.recorder: Recorder | None = None
        self.lookahead: GateLookahead | None = None
        self.logits: torch.Tensor | None = None
        self.renormalise = False
        self.cut: Cut | None = None

    def forward(self, hidden: torch.Tensor, index: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        """Output [T, d] of the experts `index` [T, K] with `weights` [T, K] on `hidden` [T, d]."""
        weights = weights.detach()
        logits, ahead = self._read(hidden)
        if self.cut is None and hidden.device.type == "cpu":
            return self.serve(hidden, weights, _routing(index, weights, logits, ahead))
        readback = Readback.pack(index, weights, logits, ahead)
        if self.cut is not None:
            return self.cut(self, hidden, index, weights, readback)
        return self.serve(hidden, weights, readback.routing(readback.packed.cpu().numpy()))

    def serve(
        self,
        hidden: torch.Tensor,
        weights: torch.Tensor,
        routing: Routing,
    ) -> torch.Tensor:
        """Output [T, d] for `hidden` [T, d], routed as `routing` says; `weights` [T, K] are on its device."""
        return self._serve(ExpertCall(self._maths, hidden, weights, routing, self.renormalise), routing)

    def serve_in(self, frame: Frame, hidden: torch.Tensor, weights: torch.Tensor, routing: Routing) -> None:
        """`serve` in a recorded step: the output goes where the `frame` has it, and the step goes on."""
        call = ExpertCall(self._maths, hidden, weights, routing, self.renormalise, frame)
        output = self._serve(call, routing)
        if not call.proceeded:
            if output is not frame.output:
                frame.output.copy_(output)
            frame.follow()

    def _serve(self, call: ExpertCall, routing: Routing) -> torch.Tensor:
        if self.recorder is not None:
            self.recorder.layer(self.index, routing)
        self.server.layer(self.index, routing, call)
        return call.combine()

    def tell(self, routing: Routing) -> None:
        """The layer has run without the server, which is to know how it was routed."""
        if self.recorder is not None:
            self.recorder.layer(self.index, routing)
        self.server.layer(self.index, routing, None)

    @property
    def activation(self) -> str | None:
        """See `ExpertPayload`."""
        return self._maths.activation

    def _read(self, hidden: torch.Tensor) -> tuple[torch.Tensor | None, torch.Tensor | None]:
        """Router logits [T, E] if a hook caught them, and the look-ahead [D, T, E] if wanted."""
        caught, self.logits = self.logits, None
        logits = None if caught is None else caught.detach().reshape(len(hidden), -1)
        ahead = self.lookahead.project(self.index, hidden) if self.lookahead is not None else None
        return logits, ahead


def _routing(
    index: torch.Tensor, weights: torch.Tensor, logits: torch.Tensor | None, ahead: torch.Tensor | None
) -> Routing:
    """Routing from tensors in host memory, which need no packing."""
    return Routing(
        index.numpy(),
        weights.float().numpy(),
        None if logits is None else logits.float().numpy(),
        None if ahead is None else ahead.float().numpy(),
    )


def free(module: nn.Module) -> bool:
    """True if the experts module still has its weights and nobody is attached to it."""
    return _SLOT not in module.__dict__ and module.get_parameter("down_proj").numel() > 0


def put(module: nn.Module, layer: AttachedLayer) -> None:
    """Attach `layer` to its experts module."""
    setattr(module, _SLOT, layer)


def take(module: nn.Module) -> None:
    """Undo `put`."""
    delattr(module, _SLOT)


def experts_forward(
    module: nn.Module, hidden_states: torch.Tensor, top_k_index: torch.Tensor, top_k_weights: torch.Tensor
) -> torch.Tensor:
    """The function behind `set_experts_implementation("hobbit")`; shapes as transformers' eager experts.

    Raises:
        ModelError: if the module is not attached.
    """
    layer: AttachedLayer | None = module.__dict__.get(_SLOT)
    if layer is None:
        raise ModelError("the experts' weights left the model; attach a runtime or load it again")
    if torch.is_grad_enabled():
        with torch.no_grad():
            return layer.forward(hidden_states, top_k_index, top_k_weights)
    return layer.forward(hidden_states, top_k_index, top_k_weights)


ALL_EXPERTS_FUNCTIONS.register(IMPLEMENTATION, experts_forward)
