"""RecordedStep: one forward pass of a model, cut at every call of its experts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from hobbit.api import RecordedExperts
from hobbit.engine.experts import AttachedLayer, Cut
from hobbit.engine.graphs.inputs import FixedInputs
from hobbit.engine.graphs.tape import Replay, Tape
from hobbit.engine.passes import PassHooks
from hobbit.engine.payload import Frame
from hobbit.engine.readback import Readback


@dataclass(slots=True)
class _CutLayer:
    """A layer between two stretches: what the first leaves for its experts, what the second reads of them.

    `values` is the host's view of the readback, filled by the first one's last copy. More: see `Frame`.
    """

    layer: AttachedLayer
    hidden: torch.Tensor
    weights: torch.Tensor
    readback: Readback
    values: npt.NDArray[np.float32]
    output: torch.Tensor
    host_hidden: torch.Tensor | None
    experts: RecordedExperts | None


class RecordedStep:
    """Records `forward(**inputs.given)` on `tape`: nothing runs, the KV cache stays as it is.

    A CUDA graph cannot stop in the middle to ask the host which experts to bring, so the pass becomes L + 1
    stretches in one memory pool. Between two of them the layer is served as in any other pass; where the
    device can, its experts are a part of the second one, which is launched as soon as they are known.
    """

    def __init__(
        self,
        tape: Tape,
        layers: Sequence[AttachedLayer],
        passes: PassHooks,
        forward: Callable[..., Any],
        given: Mapping[str, Any],
    ) -> None:
        self._tape = tape
        self._passes = passes
        self._inputs = FixedInputs(given)
        self._layers: list[_CutLayer] = []
        self._stretches: list[Replay] = []
        with tape.recording(), cutting(layers, self._cut):
            tape.begin()
            self._output = forward(**self._inputs.given)
            self._stretches.append(tape.end())
        self._frames = [
            Frame(cut.output, following, cut.host_hidden, cut.experts)
            for cut, following in zip(self._layers, self._stretches[1:], strict=True)
        ]

    def run(self, given: Mapping[str, Any]) -> Any:
        """Run the pass on other inputs of the same signature.

        What it returns lies where the next run writes: read it before.
        """
        start = self._passes.read(given)
        with self._tape.playing():
            self._inputs.fill(given)
            wait = self._tape.waiting()
            self._stretches[0]()  # it asks nobody for an expert: a pass begins while the device works
            self._passes.begin(start)
            for cut, frame in zip(self._layers, self._frames, strict=True):
                wait()
                routing = cut.readback.routing(cut.values)
                cut.layer.serve_in(frame, cut.hidden, cut.weights, routing)
            self._passes.end()
        return self._output

    def settle(self) -> None:
        """Nothing is left to tell."""

    def _cut(
        self,
        layer: AttachedLayer,
        hidden: torch.Tensor,
        index: torch.Tensor,
        weights: torch.Tensor,
        readback: Readback,
    ) -> torch.Tensor:
        """End the stretch behind the readback, and begin the next one with the output in place."""
        tape, server = self._tape, self._passes.server
        host_hidden = None
        if server.hosts:
            host_hidden = tape.host(hidden)
            host_hidden.copy_(hidden, non_blocking=True)
        host = tape.host(readback.packed)
        host.copy_(readback.packed, non_blocking=True)
        self._stretches.append(tape.end())
        experts = server.recorded(layer.activation, *index.shape)
        output = torch.zeros_like(hidden)
        tape.begin()
        if experts is not None:
            output = experts(hidden)
        self._layers.append(
            _CutLayer(layer, hidden, weights, readback, host.numpy(), output, host_hidden, experts)
        )
        return output


@contextmanager
def cutting(layers: Sequence[AttachedLayer], cut: Cut) -> Iterator[None]:
    """Let `cut` take the layers' calls."""
    for layer in layers:
        layer.cut = cut
    try:
        yield
    finally:
        for layer in layers:
            layer.cut = None
