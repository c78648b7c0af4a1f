"""Trace: the recorded routing of one model on some sequences, enough to replay any policy without weights.

Letters beside those of `hobbit.types`: T here counts all tokens of the trace, N its passes, M its sequences.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from hobbit.api.router import Routing
from hobbit.errors import TraceError
from hobbit.trace.bits import STORAGE, Floats, Stored, to_floats
from hobbit.trace.header import TraceHeader


class Pass(NamedTuple):
    """One forward pass: tokens start..stop of the trace, after `context` tokens of the same sequence.

    In a queue it may hold one token each of several `requests`; `context` is then the sum of theirs.
    """

    sequence: int
    start: int
    stop: int
    context: int
    requests: int = 1


@dataclass(frozen=True, slots=True, eq=False)
class Trace:
    """Routing of T tokens. Prompts are passes of many tokens, every generated token is a pass of its own.

    `token_ids` [T]; `pass_starts` [N] and `sequence_starts` [M] are indices of tokens. `experts` [T, L, K]
    and `weights` float32 [T, L, K] are what the experts function received. `logits` [T, L, E] and `lookahead`
    [T, L, D, E] are in the storage of `header.dtype`, or None where the router could not be read;
    `lookahead[t, l, d]` is layer l's gate input put through the router of layer l+d+1, zero past the last.

    Raises:
        TraceError: if the arrays do not fit the header and each other.
    """

    header: TraceHeader
    token_ids: npt.NDArray[np.int32]
    pass_starts: npt.NDArray[np.int64]
    sequence_starts: npt.NDArray[np.int64]
    experts: npt.NDArray[np.integer[Any]]
    weights: Floats
    logits: Stored | None = None
    lookahead: Stored | None = None

    def __post_init__(self) -> None:
        h, tokens = self.header, len(self.token_ids)
        for name, shape, dtype in (
            ("experts", (tokens, h.layers, h.top_k), h.expert_dtype),
            ("weights", (tokens, h.layers, h.top_k), np.float32),
            ("logits", (tokens, h.layers, h.experts), STORAGE[h.dtype]),
            ("lookahead", (tokens, h.layers, h.depth, h.experts), STORAGE[h.dtype]),
        ):
            array = getattr(self, name)
            if array is not None and (array.shape != shape or array.dtype != dtype):
                raise TraceError(
                    f"its {name} are {array.dtype} {array.shape}, where {np.dtype(dtype)} {shape} should be"
                )
        if tokens == 0 or int(self.experts.max()) >= h.experts:
            raise TraceError(f"it holds no tokens, or an expert beyond the {h.experts} of its header")
        if (self.lookahead is None) != (h.depth == 0):
            raise TraceError(f"its header says depth {h.depth}, which its look-ahead does not bear out")
        self._check_starts()

    def _check_starts(self) -> None:
        for name in ("pass_starts", "sequence_starts"):
            starts = getattr(self, name)
            rising = starts.ndim == 1 and starts.size and starts[0] == 0 and (np.diff(starts) > 0).all()
            if not rising or starts[-1] >= len(self.token_ids):
                raise TraceError(f"its {name} are not rising indices of tokens from 0")
        if not np.isin(self.sequence_starts, self.pass_starts).all():
            raise TraceError("a sequence starts within a pass")

    @property
    def tokens(self) -> int:
        """T."""
        return len(self.token_ids)

    @property
    def sequences(self) -> int:
        """M."""
        return len(self.sequence_starts)

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """Tokens of each sequence, [M]."""
        return np.diff(self.sequence_starts, append=self.tokens)

    def passes(self, sequences: Iterable[int] | None = None) -> Iterator[Pass]:
        """The passes of the chosen sequences (all, in order, by default).

        Raises:
            TraceError: if there is no such sequence.
        """
        bounds = [*self.sequence_starts.tolist(), self.tokens]
        pass_bounds = np.append(self.pass_starts, self.tokens)
        for sequence in range(self.sequences) if sequences is None else sequences:
            if not 0 <= sequence < self.sequences:
                raise TraceError(f"sequence {sequence} is not in the trace; it has 0 to {self.sequences - 1}")
            first, last = np.searchsorted(pass_bounds, bounds[sequence : sequence + 2]).tolist()
            edges = pass_bounds[first : last + 1].tolist()
            for start, stop in pairwise(edges):
                yield Pass(sequence, start, stop, start - edges[0])

    def routings(self, span: Pass, depth: int | None = None) -> list[Routing]:
        """What each of the L routers said in one pass, with `depth` look-ahead layers (all, by default).

        Converted once for the whole pass, so that a layer costs a few views.
        """
        h, rows = self.header, slice(span.start, span.stop)
        depth = h.depth if depth is None else min(depth, h.depth)
        experts = np.ascontiguousarray(self.experts[rows].transpose(1, 0, 2), dtype=np.int64)  # [L, T, K]
        weights = np.ascontiguousarray(self.weights[rows].transpose(1, 0, 2))  # [L, T, K]
        logits: Iterable[Floats | None] = [None] * h.layers
        ahead: Iterable[Floats | None] = [None] * h.layers
        if self.logits is not None:
            logits = to_floats(
                np.ascontiguousarray(self.logits[rows].transpose(1, 0, 2)), h.dtype
            )  # [L, T, E]
        if self.lookahead is not None and depth:
            stored = self.lookahead[rows, :, :depth].transpose(1, 2, 0, 3)  # [L, D, T, E]
            values = to_floats(np.ascontiguousarray(stored), h.dtype)
            left = range(h.layers - 1, -1, -1)
            ahead = [layer[:n] if n else None for n, layer in zip(left, values, strict=True)]
        return [Routing(*parts) for parts in zip(experts, weights, logits, ahead, strict=True)]
