"""Cutting: sequences of wanted lengths out of traces, and several of them as one trace."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from hobbit.errors import TraceError
from hobbit.trace.header import TraceHeader
from hobbit.trace.trace import Trace

_BY_TOKEN = ("token_ids", "experts", "weights", "logits", "lookahead")


def cut(trace: Trace, prompt: int, decode: int) -> Trace:
    """One sequence of `trace`: its first `prompt` tokens as one pass, then `decode` passes of one token.

    It is the shortest that is long enough, one that was recorded with such a prompt before others: routing
    is causal, so that a prompt may be cut anywhere.

    Raises:
        TraceError: if every sequence is shorter.
    """
    lengths = trace.lengths
    fits = np.flatnonzero(lengths >= prompt + decode)
    if not len(fits):
        raise TraceError(
            f"its longest sequence has {lengths.max()} tokens, fewer than {prompt} of prompt and {decode} "
            "more; record longer ones, or ask for shorter ones"
        )
    recorded = _prompts(trace)
    sequence = min(fits.tolist(), key=lambda s: (recorded[s] != prompt, lengths[s], s))
    start = int(trace.sequence_starts[sequence])
    rows = slice(start, start + prompt + decode)
    parts: dict[str, Any] = {name: _part(getattr(trace, name), rows) for name in _BY_TOKEN}
    return replace(
        trace,
        pass_starts=np.array([0, *range(prompt, prompt + decode)], np.int64),
        sequence_starts=np.zeros(1, np.int64),
        **parts,
    )


def pieces(trace: Trace, prompt: int, decode: int, count: int) -> Trace:
    """`count` requests out of `trace`: stretches of its sequences, each as one `cut` from there would be.

    Raises:
        TraceError: if it does not hold so many.
    """
    length = prompt + decode
    starts = [
        start + place * length
        for start, tokens in zip(trace.sequence_starts.tolist(), trace.lengths.tolist(), strict=True)
        for place in range(tokens // length)
    ][:count]
    if len(starts) < count:
        raise TraceError(
            f"it holds {len(starts)} requests of {prompt} + {decode} tokens, fewer than {count}; let fewer "
            "wait, ask for shorter ones, or take a geometry whose routing is generated"
        )
    rows = np.concatenate([np.arange(start, start + length) for start in starts])
    passes = np.array([0, *range(prompt, length)], np.int64)
    places = np.arange(count, dtype=np.int64) * length
    parts: dict[str, Any] = {name: _part(getattr(trace, name), rows) for name in _BY_TOKEN}
    return replace(trace, pass_starts=(places[:, None] + passes).ravel(), sequence_starts=places, **parts)


def joined(traces: Sequence[Trace]) -> Trace:
    """The sequences of all `traces`, one after the other; the header is the first's, with all domains.

    Raises:
        TraceError: if they are of different models or dtypes.
    """
    first = traces[0].header
    domains = "+".join(trace.header.domain for trace in traces)
    if any(_kind(trace.header) != _kind(first) for trace in traces):
        raise TraceError(f"the traces {domains} are not of one model, dtype and depth; choose others")
    offsets = np.cumsum([0, *(trace.tokens for trace in traces[:-1])])
    starts: dict[str, Any] = {
        name: np.concatenate([getattr(t, name) + offset for t, offset in zip(traces, offsets, strict=True)])
        for name in ("pass_starts", "sequence_starts")
    }
    rows: dict[str, Any] = {name: _stacked([getattr(trace, name) for trace in traces]) for name in _BY_TOKEN}
    return Trace(replace(first, domain=domains), **starts, **rows)


def _kind(header: TraceHeader) -> TraceHeader:
    """What traces have in common that can stand in one."""
    return replace(header, domain="", part="", seed=0, details={})


def _prompts(trace: Trace) -> list[int]:
    """Tokens of the first pass of every sequence."""
    ends = np.append(trace.pass_starts, trace.tokens)
    first = np.searchsorted(trace.pass_starts, trace.sequence_starts)
    return [int(ends[n + 1] - ends[n]) for n in first]


def _part(array: npt.NDArray[Any] | None, rows: slice | npt.NDArray[np.int64]) -> npt.NDArray[Any] | None:
    return None if array is None else array[rows]


def _stacked(arrays: Sequence[npt.NDArray[Any] | None]) -> npt.NDArray[Any] | None:
    known = [array for array in arrays if array is not None]
    return np.concatenate(known) if len(known) == len(arrays) else None
