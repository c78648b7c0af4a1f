"""What serves the layers of an attached model, and who may listen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from hobbit.api import ExpertPayload, RecordedExperts, Routing, SettledExperts


class LayerServer(Protocol):
    """The part of `hobbit.runtime.Runtime` that the engine drives; `ResidentServer` is the other one."""

    depth: int
    """Layers of gate look-ahead wanted."""

    @property
    def hosts(self) -> bool:
        """Whether experts have run on the host, which wants the hidden state there."""
        ...

    def begin_sequence(self) -> None:
        """A new sequence starts."""
        ...

    def begin_pass(self, tokens: int, context: int) -> None:
        """A forward pass of T tokens starts after `context` tokens."""
        ...

    def layer(self, layer: int, routing: Routing, payload: ExpertPayload | None) -> None:
        """Serve the experts that one layer chose."""
        ...

    def end_pass(self) -> None:
        """The pass is over."""
        ...

    def settled(self, activation: str | None, tokens: int) -> SettledExperts | None:
        """What runs the experts on T tokens without asking, if all are resident for good; see `Runtime`."""
        ...

    def recorded(self, activation: str | None, tokens: int, top_k: int) -> RecordedExperts | None:
        """What runs the experts of a layer from a recording, if the device can; see `RecordingDevice`."""
        ...


class Recorder(Protocol):
    """Hears of every pass and layer: `hobbit.trace.TraceRecorder`."""

    def begin_sequence(self) -> None:
        """A new sequence starts."""
        ...

    def begin_pass(self, token_ids: Sequence[int]) -> None:
        """A forward pass over these T tokens starts."""
        ...

    def layer(self, layer: int, routing: Routing) -> None:
        """What the router of one layer said."""
        ...

    def end_pass(self) -> None:
        """The pass is over."""
        ...
