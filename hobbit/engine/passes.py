"""Passes: tell the runtime where a forward pass begins and ends, and where a sequence starts."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from hobbit.engine.serving import LayerServer, Recorder


@dataclass(frozen=True, slots=True)
class PassStart:
    """A pass over T tokens after `context` tokens in the KV cache; `ids` [T] if somebody records them."""

    tokens: int
    context: int
    ids: list[int]


class PassHooks:
    """Hooks on the module that owns the decoder layers. A pass with an empty KV cache starts a sequence.

    A pass that fails is never ended; the next `begin_pass` starts afresh.
    """

    def __init__(self, trunk: nn.Module, server: LayerServer) -> None:
        self.server = server
        self.recorder: Recorder | None = None
        self._muted = False
        self._parameters = list(inspect.signature(trunk.forward).parameters)
        self._handles = (
            trunk.register_forward_pre_hook(self._begin, with_kwargs=True),
            trunk.register_forward_hook(self._end),
        )

    def remove(self) -> None:
        """Take the hooks off."""
        for handle in self._handles:
            handle.remove()

    @contextmanager
    def muted(self) -> Iterator[None]:
        """Say nothing of passes that are recorded and not run."""
        self._muted = True
        try:
            yield
        finally:
            self._muted = False

    def read(self, given: Mapping[str, Any]) -> PassStart:
        """What a pass with these arguments (`input_ids` or `inputs_embeds`, `past_key_values`) is."""
        ids: torch.Tensor | None = given.get("input_ids")
        shape = ids.shape if ids is not None else given["inputs_embeds"].shape[:2]
        cache = given.get("past_key_values")
        context = int(cache.get_seq_length()) if cache is not None else 0
        return PassStart(shape[0] * shape[1], context, self.heard(ids))

    def heard(self, ids: torch.Tensor | None) -> list[int]:
        """The `ids` of a `PassStart`."""
        return [] if ids is None or self.recorder is None else ids.flatten().tolist()

    def begin(self, start: PassStart) -> None:
        """The pass begins."""
        if start.context == 0:
            self.server.begin_sequence()
        self.server.begin_pass(start.tokens, start.context)
        if self.recorder is not None:
            if start.context == 0:
                self.recorder.begin_sequence()
            self.recorder.begin_pass(start.ids)

    def end(self) -> None:
        """The pass is over."""
        self.server.end_pass()
        if self.recorder is not None:
            self.recorder.end_pass()

    def _begin(self, trunk: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        if not self._muted:
            self.begin(self.read({**dict(zip(self._parameters, args, strict=False)), **kwargs}))

    def _end(self, trunk: nn.Module, args: tuple[Any, ...], output: object) -> None:
        if not self._muted:
            self.end()
