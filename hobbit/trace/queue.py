"""A queue of requests: their tokens wait for one another, and run in batches."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, pairwise
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from hobbit.api import Batcher
from hobbit.errors import ConfigError, TraceError
from hobbit.trace.trace import Pass, Trace


@dataclass(frozen=True, slots=True, eq=False)
class QueuedTrace(Trace):
    """The routing of several requests as one sequence, whose passes hold tokens of many of them.

    `contexts` [N] are the KV entries that a pass reads, over all its requests, and `requests` [N] how many
    those are. `kv_tokens`: the most entries that are kept at once.
    """

    contexts: tuple[int, ...] = ()
    requests: tuple[int, ...] = ()
    kv_tokens: int = 0

    def passes(self, sequences: Iterable[int] | None = None) -> Iterator[Pass]:
        """All passes, in order. Raises TraceError for any other sequence than the first."""
        if sequences is not None and list(sequences) != [0]:
            raise TraceError("a queue is one sequence: number 0")
        edges = pairwise([*self.pass_starts.tolist(), self.tokens])
        for (start, stop), context, requests in zip(edges, self.contexts, self.requests, strict=True):
            yield Pass(0, start, stop, context, requests)


@dataclass(slots=True)
class _Request:
    """A sequence of the trace: tokens `start`.., of which `next` is the one that waits, up to `stop`."""

    start: int
    next: int
    stop: int


class _Batch(NamedTuple):
    """Rows of the trace that run in one pass."""

    rows: Sequence[int]
    context: int
    requests: int


def queued(trace: Trace, waiting: int, budget: int, batcher: Batcher) -> QueuedTrace:
    """The sequences of `trace` as requests of one queue: `waiting` of them decode at once.

    Each begins with its prompt, a pass of its own. Then rounds: the next token of every request waits, and
    `batcher` shares them out to passes of at most `budget`; who has ended makes room for the next in line.

    Raises:
        TraceError: if a sequence has a pass of several tokens after its prompt.
        ConfigError: if the batcher loses a token, or runs one twice.
    """
    line, running = deque(_requests(trace)), list[_Request]()
    batches: list[_Batch] = []
    kept = 0
    while line or running:
        while line and len(running) < waiting:
            request = line.popleft()
            running.append(request)
            batches.append(_Batch(range(request.start, request.next), 0, 1))
        running = [request for request in running if request.next < request.stop]
        batches += _round(trace, running, budget, batcher)
        for request in running:
            request.next += 1
        kept = max(kept, sum(request.next - request.start for request in running))
    return _reordered(trace, batches, kept)


def _round(trace: Trace, running: Sequence[_Request], budget: int, batcher: Batcher) -> Iterator[_Batch]:
    """One token of each request, in batches."""
    if not running:
        return
    waiting = [request.next for request in running]
    arranged = batcher.arrange(trace.experts[waiting].astype(np.int64), budget)
    if sorted(chain.from_iterable(arranged)) != list(range(len(running))):
        raise ConfigError(f"the batcher is to run each of {len(running)} tokens once, but gave {arranged}")
    for batch in arranged:
        context = sum(running[place].next - running[place].start for place in batch)
        yield _Batch([waiting[place] for place in batch], context, len(batch))


def _requests(trace: Trace) -> Iterator[_Request]:
    ends = np.append(trace.sequence_starts, trace.tokens).tolist()
    for sequence, (start, stop) in enumerate(pairwise(ends)):
        prompt, *decoded = trace.passes([sequence])
        if any(span.stop - span.start > 1 for span in decoded):
            raise TraceError(f"sequence {sequence} decodes several tokens in one pass, which a queue cannot")
        yield _Request(start, prompt.stop, stop)


def _reordered(trace: Trace, batches: Sequence[_Batch], kv_tokens: int) -> QueuedTrace:
    rows = np.fromiter(chain.from_iterable(batch.rows for batch in batches), np.int64)
    starts = np.cumsum([0, *(len(batch.rows) for batch in batches[:-1])])
    parts: dict[str, npt.NDArray[Any] | None] = {
        name: None if (array := getattr(trace, name)) is None else array[rows]
        for name in ("token_ids", "experts", "weights", "logits", "lookahead")
    }
    return QueuedTrace(
        trace.header,
        pass_starts=starts.astype(np.int64),
        sequence_starts=np.zeros(1, np.int64),
        contexts=tuple(batch.context for batch in batches),
        requests=tuple(batch.requests for batch in batches),
        kv_tokens=kv_tokens,
        **parts,  # type: ignore[arg-type]
    )
