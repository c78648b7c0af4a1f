"""DecodeGraphs: a model's decode steps, recorded once and replayed."""

from __future__ import annotations

import functools
import inspect
import weakref
from collections.abc import Callable, Hashable, Mapping
from typing import Any

import torch
from transformers import PreTrainedModel

from hobbit.api import SettledExperts
from hobbit.engine.experts import AttachedLayer
from hobbit.engine.graphs.inputs import CACHE, IDS, signature
from hobbit.engine.graphs.settled import SettledStep
from hobbit.engine.graphs.step import RecordedStep
from hobbit.engine.graphs.tape import Tape
from hobbit.engine.passes import PassHooks
from hobbit.errors import first_line


class DecodeGraphs:
    """Stands in for `model.forward`: steps that can be recorded are, the second time they come.

    The first time runs as it is and warms up what must not happen in a recording. One recording is kept,
    that of the latest KV cache. Where recording fails it is not tried again, and `notes` says why.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        layers: list[AttachedLayer],
        passes: PassHooks,
        tape: Tape,
        notes: list[str],
    ) -> None:
        self._notes = notes
        self._failed = False
        self._model = model
        self._layers = layers
        self._passes = passes
        self._tape = tape
        self._own = "forward" in vars(model)  # somebody else stands in for the class's own already
        self._forward: Callable[..., Any] = model.forward
        self._names = list(inspect.signature(self._forward).parameters)
        self._seen: Hashable | None = None
        self._cache: weakref.ref[Any] | None = None
        self._step: RecordedStep | SettledStep | None = None
        self._put()

    def forget(self) -> None:
        """What is computed between the experts has changed: record it anew."""
        self.settle()
        self._seen = self._cache = self._step = None

    def settle(self) -> None:
        """Let the runtime know of every step that ran."""
        if self._step is not None:
            self._step.settle()

    def remove(self) -> None:
        """Give the model its own `forward` back."""
        self.forget()
        if self._own:
            self._model.forward = self._forward
        else:
            del self._model.forward

    def _put(self) -> None:
        @functools.wraps(self._forward)  # generate reads the signature
        def forward(*args: Any, **kwargs: Any) -> Any:
            return self._call({**dict(zip(self._names, args, strict=False)), **kwargs})

        self._model.forward = forward

    def _call(self, given: Mapping[str, Any]) -> Any:
        if self._cache is not None and given.get(CACHE) is not self._cache():
            self.forget()  # a new cache is about to be filled: the memory of the old one is wanted
        key = None if self._failed or torch.is_grad_enabled() else signature(given)
        if key is None:
            self.settle()
            return self._forward(**given)
        if key != self._seen:
            self.forget()
            self._seen, self._cache = key, weakref.ref(given[CACHE])
            return self._forward(**given)
        step = self._step
        if not isinstance(step, SettledStep):
            # A step that is cut at the experts may no longer need to be.
            experts = self._passes.server.settled(self._layers[0].activation, len(given[IDS]))
            if step is None or experts is not None:
                step = self._record(given, experts)
        return self._forward(**given) if step is None else step.run(given)

    def _record(
        self, given: Mapping[str, Any], experts: SettledExperts | None
    ) -> RecordedStep | SettledStep | None:
        tape, layers, passes = self._tape, self._layers, self._passes
        try:
            with passes.muted():
                if experts is None:
                    self._step = RecordedStep(tape, layers, passes, self._forward, given)
                else:
                    self._step = SettledStep(tape, layers, passes, experts, self._forward, given)
        except RuntimeError as error:
            self._failed = True
            self._notes.append(
                "decode steps are launched one operation at a time: recording one failed "
                f"({first_line(error)})"
            )
        return self._step
