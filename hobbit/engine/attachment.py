"""Attachment: a model whose experts are served by a runtime, until it is detached."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any

import torch
from torch import nn
from torch.utils.hooks import RemovableHandle
from transformers import PreTrainedModel

from hobbit.engine import experts
from hobbit.engine.anatomy import MoELayer, find_layers
from hobbit.engine.experts import AttachedLayer
from hobbit.engine.families import router_answer
from hobbit.engine.graphs import DecodeGraphs, Tape
from hobbit.engine.lookahead import GateLookahead
from hobbit.engine.norms import FusedNorms
from hobbit.engine.passes import PassHooks
from hobbit.engine.serving import LayerServer, Recorder
from hobbit.engine.weights import KeptExperts, NativeSource, has_weights, put_back, take_out
from hobbit.errors import ModelError

UNREADABLE = "the routers of this model cannot be read: prefetchers that look ahead do nothing"


class Attachment:
    """Holds a model's MoE layers. Make it with `attach`; use it as a context manager, or call `detach`.

    `notes` says what the model cannot do. While attached, the model is for inference only, and what it
    generates is not compiled. With `keep`, experts that the store could not give back stay in memory. Raises
    ModelError if the model is no mixture of experts, or another attachment has its experts.
    """

    def __init__(
        self, model: PreTrainedModel, server: LayerServer, store: NativeSource | None, keep: bool = False
    ) -> None:
        self.model = model
        self.layers: tuple[MoELayer, ...] = find_layers(model)
        if not experts.free(self.layers[0].experts):
            raise ModelError("the model's experts are taken: detach the other runtime, or load it again")
        self.notes: list[str] = []
        self._store = store
        self._server = server
        self._attached = [AttachedLayer(layer, server) for layer in self.layers]
        self._passes = PassHooks(self.layers[0].trunk, server)
        self._handles: list[RemovableHandle] = []
        self._graphs: DecodeGraphs | None = None
        self._norms: FusedNorms | None = None
        self._before = _implementation(model)
        self._place = model.device
        self._compiles = _disable_compile(model, True)
        self._kept: KeptExperts | None = None
        self._detached: bool | None = None
        for layer, attached in zip(self.layers, self._attached, strict=True):
            experts.put(layer.experts, attached)
        model.set_experts_implementation(experts.IMPLEMENTATION)
        if store is not None:
            if keep and has_weights(self.layers) and store.native(0, 0) is None:
                self._kept = KeptExperts(self.layers)
            take_out(self.layers)

    @property
    def server(self) -> LayerServer:
        """What serves the layers now."""
        return self._server

    @contextmanager
    def serving(self, server: LayerServer) -> Iterator[None]:
        """Let another server serve the layers for a while, without a recorder."""
        before, recorder = self._server, self._passes.recorder
        self._serve(server, None)
        try:
            yield
        finally:
            self._serve(before, recorder)

    def listen(self, recorder: Recorder | None) -> None:
        """Tell `recorder` of every pass and layer from now on (None: nobody)."""
        self._serve(self._server, recorder)

    def look_ahead(self, depth: int) -> None:
        """Compute the gates of `depth` later layers at every layer from now on."""
        lookahead = GateLookahead(self.layers, depth) if depth else None
        if lookahead is not None and not lookahead.readable:
            self.notes.append(UNREADABLE)
            lookahead = None
        for attached in self._attached:
            attached.lookahead = lookahead
        self._forget_graphs()

    def catch_logits(self) -> None:
        """Pass the router's logits on with the routing from now on, where routers give them."""
        for layer, attached in zip(self.layers, self._attached, strict=True):
            if layer.router is not None:
                self._handles.append(
                    layer.router.register_forward_hook(_catcher(attached, layer.expert_count))
                )
        self._forget_graphs()

    def record_steps(self, tape: Tape) -> None:
        """Replay decode steps from recordings on `tape` from now on, where they can be recorded."""
        self._graphs = DecodeGraphs(self.model, self._attached, self._passes, tape, self.notes)

    def fuse_norms(self) -> None:
        """Run the model's RMSNorms through torch's fused kernel from now on: last bits may differ."""
        self._norms = FusedNorms(self.model)
        self._forget_graphs()

    @property
    def static_cache(self) -> bool:
        """True if decoding wants a KV cache that keeps its place: steps are recorded, the model allows it."""
        return self._graphs is not None and bool(getattr(self.model, "_can_compile_fullgraph", False))

    def settle(self) -> None:
        """Let the server know of every pass that ran: steps from recordings may be told late."""
        if self._graphs is not None:
            self._graphs.settle()

    def renormalise(self, on: bool) -> None:
        """Whether gate weights that remain after a skip are scaled to keep their sum."""
        for attached in self._attached:
            attached.renormalise = on

    def detach(self, restore: bool = True) -> bool:
        """Give the model back as it was, and where it was. Returns False if its experts are not restored.

        They are lost where neither the store nor this holds a copy in the checkpoint's own dtype, or without
        `restore`: calling the model then raises ModelError, and it has to be loaded again. A second call does
        nothing.
        """
        if self._detached is None:
            self._detached = self._give_back(restore)
        return self._detached

    def _give_back(self, restore: bool) -> bool:
        if self._graphs is not None:
            self._graphs.remove()
        if self._norms is not None:
            self._norms.remove()
        self._passes.remove()
        for handle in self._handles:
            handle.remove()
        self._handles.clear()
        for layer in self.layers:
            experts.take(layer.experts)
        _disable_compile(self.model, self._compiles)
        if self.model.device != self._place:
            nn.Module.to(self.model, self._place)
        if self._store is not None and not (restore and self._put_back(self._store)):
            return False
        self.model.set_experts_implementation(self._before)
        return True

    def _put_back(self, store: NativeSource) -> bool:
        if self._kept is None:
            return put_back(self.layers, store)
        self._kept.put_back()
        return True

    def __enter__(self) -> Attachment:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.detach()

    def _forget_graphs(self) -> None:
        if self._graphs is not None:
            self._graphs.forget()

    def _serve(self, server: LayerServer, recorder: Recorder | None) -> None:
        self._forget_graphs()
        self._server = self._passes.server = server
        self._passes.recorder = recorder
        for attached in self._attached:
            attached.server, attached.recorder = server, recorder


def _implementation(model: PreTrainedModel) -> dict[str, str | None]:
    """The experts implementations in force, for the model and its parts."""
    read = getattr(model, "get_experts_implementation", None)
    return read() if read is not None else {"": model.config._experts_implementation}


def _disable_compile(model: PreTrainedModel, value: bool | None) -> bool | None:
    """Tell `generate` whether to compile by itself; what would be compiled calls us in its middle."""
    options = getattr(model, "generation_config", None)
    before: bool | None = getattr(options, "disable_compile", None)
    if options is not None:
        options.disable_compile = value
    return before


def _catcher(attached: AttachedLayer, experts: int) -> Any:
    def catch(router: nn.Module, args: tuple[object, ...], output: object) -> None:
        answer = router_answer(output, experts)
        logits = output[0] if isinstance(output, tuple) else output
        if answer is not None:
            logits = answer.logits
        attached.logits = logits if isinstance(logits, torch.Tensor) else None

    return catch
