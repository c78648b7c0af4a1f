"""Where the time of a token goes: the parts of a step, layer by layer, with a barrier between them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import perf_counter_ns
from typing import Any

import numpy as np
import numpy.typing as npt

from hobbit.api import Copy, Device, ExpertPayload, Job, RecordedExperts, Routing, SettledExperts
from hobbit.bench.clock import Backend
from hobbit.engine.serving import LayerServer

PARTS = ("model", "experts", "copies", "host", "runtime")
"""Attention, norms, routers, head and combination; resident and arrived experts; waiting for copies; host
experts; the runtime's own Python."""

FIRST = 3
"""Steps that are not counted: the prompt's, one that warms up, one that is recorded where steps are."""

_MODEL, _EXPERTS, _COPIES, _HOST, _RUNTIME = range(len(PARTS))


@dataclass(frozen=True, slots=True)
class Split:
    """Milliseconds a token of each part, by layer: [L + 1][5]; the last row is what follows the last layer.

    Barriers keep parts from overlapping, so that the sum is more than an undisturbed token takes.
    """

    by_layer: tuple[tuple[float, ...], ...]

    @property
    def parts(self) -> dict[str, float]:
        """Milliseconds a token of each part."""
        return dict(zip(PARTS, (sum(column) for column in zip(*self.by_layer, strict=True)), strict=True))

    @property
    def total(self) -> float:
        """Milliseconds a token, barriers included."""
        return sum(self.parts.values())


class SplitClock:
    """Charges the time since the last call to a part of a layer, once what was to be computed is."""

    def __init__(self, layers: int, backend: Backend, first: int = FIRST) -> None:
        self._backend = backend
        self._spent: npt.NDArray[np.int64] = np.zeros((layers + 1, len(PARTS)), np.int64)
        self._last = 0
        self.layer = 0
        self.tokens = 0
        self._first = first
        self._steps = 0

    def begin(self) -> None:
        """A step begins."""
        self._backend.finish()
        self.layer = 0
        self._last = perf_counter_ns()

    def end(self) -> None:
        """The step is over."""
        self.charge(_MODEL)
        self.tokens += self._counts
        self._steps += 1

    @property
    def _counts(self) -> bool:
        """Whether this step does: not the prompt's, nor those that warm up and record what others replay."""
        return self._steps >= self._first

    def charge(self, part: int, waited: Callable[[], int] | None = None) -> None:
        """What was done since the last call was this part's, but for the `waited` nanoseconds for copies."""
        self._backend.finish_computing()
        now = perf_counter_ns()
        if self._counts:
            lost = min(waited(), now - self._last) if waited is not None else 0
            self._spent[self.layer, _COPIES] += lost
            self._spent[self.layer, part] += now - self._last - lost
        self._last = perf_counter_ns() if waited is not None else now

    def split(self) -> Split:
        """The means over all counted tokens."""
        return Split(tuple(map(tuple, (self._spent / max(1, self.tokens) / 1e6).tolist())))


class SplitServer:
    """A `LayerServer` that tells the clock where a layer's experts begin and end."""

    def __init__(self, server: LayerServer, clock: SplitClock) -> None:
        self.depth = server.depth
        self.begin_sequence: Callable[[], None] = server.begin_sequence
        self.begin_pass: Callable[[int, int], None] = server.begin_pass
        self.end_pass: Callable[[], None] = server.end_pass
        self._server = server
        self._clock = clock

    def settled(self, activation: str | None, tokens: int) -> SettledExperts | None:
        """None: a step in one piece has no parts to tell apart."""
        return None

    def recorded(self, activation: str | None, tokens: int, top_k: int) -> RecordedExperts | None:
        """None: what is launched in one piece has no parts to tell apart."""
        return None

    @property
    def hosts(self) -> bool:
        """See `LayerServer`."""
        return self._server.hosts

    def layer(self, layer: int, routing: Routing, payload: ExpertPayload | None) -> None:
        """What came before was the model's; what no device call takes is the runtime's."""
        self._clock.charge(_MODEL)
        self._server.layer(layer, routing, payload)
        self._clock.charge(_RUNTIME)
        self._clock.layer = layer + 1


class SplitDevice:
    """A `Device` whose calls are charged to the parts of a step; everything else is `device`'s own."""

    def __init__(self, device: Device, clock: SplitClock) -> None:
        self._device = device
        self._clock = clock

    def __getattr__(self, name: str) -> Any:
        return getattr(self._device, name)

    def run(self, layer: int, jobs: Sequence[Job], payload: ExpertPayload | None) -> None:
        """Experts on the device."""
        self._clock.charge(_RUNTIME)
        before = self._device.report().stall_ns
        self._device.run(layer, jobs, payload)
        # Where the queue of computation waits by itself, `run` holds the wait, and the report tells of it.
        self._clock.charge(_EXPERTS, lambda: self._device.report().stall_ns - before)

    def run_host(self, layer: int, jobs: Sequence[Job], payload: ExpertPayload | None) -> None:
        """Experts on the host, begun."""
        self._clock.charge(_RUNTIME)
        self._device.run_host(layer, jobs, payload)
        self._clock.charge(_HOST)

    def wait(self, copies: Sequence[Copy]) -> int:
        """Copies on their way."""
        self._clock.charge(_RUNTIME)
        lost = self._device.wait(copies)
        self._clock.charge(_COPIES)
        return lost

    def end_layer(self, layer: int) -> int:
        """Experts on the host, joined."""
        self._clock.charge(_RUNTIME)
        lost = self._device.end_layer(layer)
        self._clock.charge(_HOST)
        return lost
