"""SettledStep: one forward pass of a model whose experts are all resident, from one recording."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from hobbit.api import SettledExperts
from hobbit.engine.experts import AttachedLayer
from hobbit.engine.graphs.inputs import CACHE, IDS, FixedInputs
from hobbit.engine.graphs.step import cutting
from hobbit.engine.graphs.tape import Tape, Wait
from hobbit.engine.passes import PassHooks, PassStart
from hobbit.engine.readback import Readback


@dataclass(slots=True)
class _Told:
    """A step that ran, whose routing the runtime has not heard yet: it lies in `host` after `arrived`.

    Behind it lies how many tokens there were before. `ids` are as in `PassStart`.
    """

    ids: list[int]
    host: torch.Tensor
    arrived: Wait


class SettledStep:
    """Records `forward(**inputs.given)` in one piece: there is nothing to ask the host in the middle.

    The runtime still hears of every pass and layer, in order, but of each step only while the next one runs,
    or at `settle`: by then its routing has arrived, and telling takes no time of the device.
    """

    def __init__(
        self,
        tape: Tape,
        layers: Sequence[AttachedLayer],
        passes: PassHooks,
        experts: SettledExperts,
        forward: Callable[..., Any],
        given: Mapping[str, Any],
    ) -> None:
        self._layers = layers
        self._passes = passes
        self._tape = tape
        self._experts = experts  # the recording reads what it holds
        self._inputs = FixedInputs(given)
        self._readbacks: list[Readback] = []

        def run(
            layer: AttachedLayer, hidden: torch.Tensor, index: torch.Tensor, weights: torch.Tensor,
            readback: Readback,
        ) -> torch.Tensor:  # fmt: skip
            self._readbacks.append(readback)
            return experts(layer.index, hidden, index, weights)

        self._tokens = given[IDS].numel()
        with tape.recording(), cutting(layers, run):
            tape.begin()
            context = torch.as_tensor(given[CACHE].get_seq_length()).to(self._inputs.given[IDS].device)
            # Exact below 2^24. To ask the cache at each step would be to wait for the device.
            before = context.reshape(1).float()
            self._output = forward(**self._inputs.given)
            self._packed = torch.cat([*(readback.packed for readback in self._readbacks), before])
            self._replay = tape.end()
        # Two, since one step's routing is read while the next one's arrives.
        self._hosts = [tape.host(self._packed), tape.host(self._packed)]
        self._told: _Told | None = None

    def run(self, given: Mapping[str, Any]) -> Any:
        """Run the pass on other inputs of the same signature.

        What it returns lies where the next run writes: read it before.
        """
        ids = self._passes.heard(given[IDS])
        self._inputs.fill(given)
        self._replay()
        self._hosts.reverse()
        host = self._hosts[0]
        host.copy_(self._packed, non_blocking=True)
        told = _Told(ids, host, self._tape.mark())
        self.settle()
        self._told = told
        return self._output

    def settle(self) -> None:
        """Tell the runtime of the last step, if it has not heard of it."""
        told, self._told = self._told, None
        if told is None:
            return
        told.arrived()
        values, first = told.host.numpy(), 0
        self._passes.begin(PassStart(self._tokens, int(values[-1]), told.ids))
        for layer, readback in zip(self._layers, self._readbacks, strict=True):
            last = first + len(readback.packed)
            layer.tell(readback.routing(values[first:last]))
            first = last
        self._passes.end()
