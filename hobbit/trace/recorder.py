"""TraceRecorder: collects the routing of a live run, layer by layer, into a Trace."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from hobbit.api.router import Routing
from hobbit.errors import TraceError
from hobbit.trace.bits import Floats, Stored, holds, to_stored
from hobbit.trace.header import TraceHeader
from hobbit.trace.trace import Trace


class TraceRecorder:
    """Hears of every pass and layer of sequences that run one at a time.

    Calls, in order: `begin_sequence`, then for each pass `begin_pass`, `layer` for layers 0 .. L-1 and
    `end_pass`; `trace` at any time. A pass that is never ended leaves nothing behind.
    """

    def __init__(self, header: TraceHeader) -> None:
        self.header = header
        self._tokens: list[npt.NDArray[np.int32]] = []
        self._pass_starts: list[int] = []
        self._sequence_starts: list[int] = []
        self._parts: list[list[Routing]] = []  # one list of L routings a pass
        self._count = 0
        self._open: list[Routing] = []
        self._pending = np.empty(0, np.int32)

    def begin_sequence(self) -> None:
        """The next pass starts a new sequence."""
        if not self._sequence_starts or self._sequence_starts[-1] != self._count:
            self._sequence_starts.append(self._count)

    def begin_pass(self, token_ids: Sequence[int] | npt.NDArray[np.integer]) -> None:
        """A forward pass over these T tokens begins."""
        self._pending = np.array(token_ids, np.int32).reshape(-1)
        self._open = []

    def layer(self, layer: int, routing: Routing) -> None:
        """What the router of `layer` said; the arrays are copied.

        Raises:
            TraceError: if the layer is out of turn, or does not speak of the tokens of this pass.
        """
        if layer != len(self._open) or routing.tokens != len(self._pending):
            raise TraceError(
                f"layer {layer} with {routing.tokens} tokens came where layer {len(self._open)}"
                f" with {len(self._pending)} was due; record one sequence at a time"
            )
        logits, ahead = (
            None if part is None else part.copy() for part in (routing.logits, routing.lookahead)
        )
        self._open.append(Routing(routing.experts.copy(), routing.weights.copy(), logits, ahead))

    def end_pass(self) -> None:
        """Keep the pass.

        Raises:
            TraceError: if layers are missing.
        """
        if len(self._open) != self.header.layers:
            raise TraceError(f"a pass ended after {len(self._open)} of {self.header.layers} layers")
        if not self._sequence_starts:
            self.begin_sequence()
        self._pass_starts.append(self._count)
        self._tokens.append(self._pending)
        self._parts.append(self._open)
        self._count += len(self._pending)
        self._open, self._pending = [], np.empty(0, np.int32)

    def trace(self) -> Trace:
        """Everything recorded so far.

        Logits that the header's dtype cannot hold exactly are kept as float32, for a rounded logit flips
        decisions; look-ahead that no layer had is left out; the header says so.

        Raises:
            TraceError: if nothing was recorded.
        """
        if not self._count:
            raise TraceError("nothing was recorded; run at least one pass")
        logits, lookahead = self._logits(), self._lookahead()
        dtype, depth = self.header.dtype, 0 if lookahead is None else self.header.depth
        if not all(holds(dtype, values) for values in (logits, lookahead) if values is not None):
            dtype = "float32"
        return Trace(
            replace(self.header, dtype=dtype, depth=depth),
            np.concatenate(self._tokens),
            np.array(self._pass_starts, np.int64),
            np.array([start for start in self._sequence_starts if start < self._count], np.int64),
            self._stack(lambda routing: routing.experts).astype(self.header.expert_dtype),
            self._stack(lambda routing: routing.weights).astype(np.float32),
            None if logits is None else to_stored(logits, dtype),
            None if lookahead is None else to_stored(lookahead, dtype),
        )

    def _stack(self, part: Callable[[Routing], Stored]) -> Stored:
        """[T, L, ...] of what `part` picks from every routing."""
        return np.concatenate([np.stack(list(map(part, layers)), axis=1) for layers in self._parts])

    def _logits(self) -> Floats | None:
        if any(routing.logits is None for layers in self._parts for routing in layers):
            return None
        return self._stack(lambda routing: np.asarray(routing.logits))

    def _lookahead(self) -> Floats | None:
        if all(routing.lookahead is None for layers in self._parts for routing in layers):
            return None
        return self._stack(self._padded) if self.header.depth else None

    def _padded(self, routing: Routing) -> Floats:
        """[T, D, E], zero where there was no later layer."""
        out = np.zeros((routing.tokens, self.header.depth, self.header.experts), np.float32)
        if routing.lookahead is not None:
            ahead = routing.lookahead[: self.header.depth]
            out[:, : len(ahead)] = ahead.transpose(1, 0, 2)
        return out
