"""RoutingStatistics: what cache and prefetch policies live on, measured from a trace."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hobbit.errors import TraceError
from hobbit.trace.bits import Floats, to_floats
from hobbit.trace.trace import Trace


@dataclass(frozen=True, slots=True)
class RoutingStatistics:
    """Reuse and predictability of routing. All are shares in [0, 1].

    `repeats` has one entry a layer: the share of tokens whose first choice is that of the token before.
    `skew` likewise: the share of selections that the busiest quarter of the layer's experts takes within one
    sequence, mean over sequences, weighted by tokens. `margin` is the mean of g1 / (g1 + g2), the first gate
    weight among the first two (1 where K is 1). `lookahead[d]` is the share of (token, layer) whose first
    choice was the largest of the look-ahead logits d + 1 layers before.
    """

    repeats: tuple[float, ...]
    skew: tuple[float, ...]
    margin: float
    lookahead: tuple[float, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain values, rounded to four digits."""
        return {k: _rounded(v) for k, v in asdict(self).items()}

    @staticmethod
    def from_json(values: Mapping[str, Any]) -> RoutingStatistics:
        """What `to_json` wrote."""
        return RoutingStatistics(
            tuple(values["repeats"]), tuple(values["skew"]), values["margin"], tuple(values["lookahead"])
        )


def _rounded(value: Any) -> Any:
    return [round(v, 4) for v in value] if isinstance(value, tuple) else round(value, 4)


def measure(trace: Trace) -> RoutingStatistics:
    """Statistics of all passes of `trace`; prompts count like generated tokens.

    Raises:
        TraceError: if the trace is too short to hold a repeat.
    """
    if trace.tokens - trace.sequences < 1:
        raise TraceError("no sequence of the trace has two tokens; record longer ones")
    order = np.argsort(-trace.weights, axis=2, kind="stable")
    experts = np.take_along_axis(trace.experts.astype(np.int64), order, axis=2)  # [T, L, K], falling weight
    weights = np.take_along_axis(trace.weights, order, axis=2)
    first_two = weights[..., :2].sum(axis=2)
    return RoutingStatistics(
        tuple(repeats_of(experts[..., 0], trace.sequence_starts).tolist()),
        tuple(skew_of(experts, trace.sequence_starts, trace.header.experts).tolist()),
        float((weights[..., 0] / first_two).mean()),
        tuple(accuracy_of(experts[..., 0], ahead) for ahead in _lookaheads(trace)),
    )


def repeats_of(first: npt.NDArray[np.int64], starts: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Share [L] of tokens whose first choice (`first` [T, L]) is the previous token's, within sequences."""
    same = first[1:] == first[:-1]
    within = np.ones(len(same), bool)
    within[starts[1:] - 1] = False
    shares: npt.NDArray[np.float64] = same[within].sum(axis=0) / max(1, within.sum())
    return shares


def skew_of(
    experts: npt.NDArray[np.int64], starts: npt.NDArray[np.int64], count: int
) -> npt.NDArray[np.float64]:
    """Share [L] of selections (`experts` [T, L, K]) that go to the busiest quarter of `count` experts."""
    tokens, layers, top_k = experts.shape
    offsets = np.arange(layers)[None, :, None] * count
    busy: npt.NDArray[np.float64] = np.zeros(layers)
    for part in np.split(experts, starts[1:]):
        counts = np.bincount((part + offsets).ravel(), minlength=layers * count).reshape(layers, count)
        busy += np.sort(counts, axis=1)[:, -max(1, count // 4) :].sum(axis=1)
    busy /= tokens * top_k
    return busy


def accuracy_of(first: npt.NDArray[np.int64], ahead: Floats) -> float:
    """Share of first choices (`first` [T, L]) that `ahead` [T, L - d, E], d layers before, ranks first."""
    distance = first.shape[1] - ahead.shape[1]
    hits: npt.NDArray[np.bool_] = ahead.argmax(axis=2) == first[:, distance:]
    return float(hits.mean())


def _lookaheads(trace: Trace) -> list[Floats]:
    """For each distance d = 1..D, the logits [T, L - d, E] that predict layers d..L-1."""
    if trace.lookahead is None:
        return []
    layers = trace.header.layers
    return [
        to_floats(trace.lookahead[:, : layers - d, d - 1], trace.header.dtype)
        for d in range(1, min(trace.header.depth, layers - 1) + 1)
    ]
