"""RecordedStep: one forward pass of a model, cut at every call of its experts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from hobbit.engine.experts import AttachedLayer, Cut
from hobbit.engine.graphs.inputs import FixedInputs
from hobbit.engine.graphs.tape import Replay, Tape
from hobbit.engine.passes import PassHooks
from hobbit.engine.readback import Readback


@dataclass(slots=True)
class _Stretch:
    """What is launched up to one layer's experts, and where their inputs and output lie.

    `values` is the host's view of the readback, filled by the replay's last copy.
    """

    replay: Replay
    layer: AttachedLayer
    hidden: torch.Tensor
    weights: torch.Tensor
    readback: Readback
    values: npt.NDArray[np.float32]
    output: torch.Tensor


class RecordedStep:
    """Records `forward(**inputs.given)` on `tape`: nothing runs, the KV cache stays as it is.

    A CUDA graph cannot stop in the middle to ask the host which experts to bring, so the pass becomes L + 1
    stretches in one memory pool. Between two of them the layer is served as in any other pass.
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
        self._stretches: list[_Stretch] = []
        with tape.recording(), cutting(layers, self._cut):
            tape.begin()
            self._output = forward(**self._inputs.given)
            self._last = tape.end()

    def run(self, given: Mapping[str, Any]) -> Any:
        """Run the pass on other inputs of the same signature.

        What it returns lies where the next run writes: read it before.
        """
        self._passes.begin(self._passes.read(given))
        self._inputs.fill(given)
        wait = self._tape.waiting()
        for stretch in self._stretches:
            stretch.replay()
            wait()
            routing = stretch.readback.routing(stretch.values)
            output = stretch.layer.serve(stretch.hidden, stretch.weights, routing, stretch.output)
            if output is not stretch.output:
                stretch.output.copy_(output)
        self._last()
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
        host = self._tape.host(readback.packed)
        host.copy_(readback.packed, non_blocking=True)
        replay = self._tape.end()
        output = torch.zeros_like(hidden)
        self._stretches.append(_Stretch(replay, layer, hidden, weights, readback, host.numpy(), output))
        self._tape.begin()
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
