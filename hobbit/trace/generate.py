"""Synthetic routing for shapes without a trace, with the statistics of a real one.

The model, for sequence s, token t, layer l and expert e:

    logit[t, l, e] = scale * (skew[l] * popularity[s, l, e] + state[t, l, e])
    state[t, l, e] = persistence[l] * state[t-1, l, e] + sqrt(1 - persistence[l]^2) * noise[t, l, e]
    ahead[t, l, d, e] = logit[t, l+d, e] + std(logit) * error[d] * noise'[t, l, d, e]

All noises and popularities are independent standard normals; logits are rounded to bfloat16, the K largest
are chosen and weighted by a softmax over them. Popularity makes a sequence prefer some experts, persistence
makes neighbouring tokens choose alike (below zero: alternate), the scale makes the first choice more or less
dominant, and the error makes look-ahead err. The four are found by bisection, on the very noise that the
trace is made of, such that `measure` finds the wanted statistics again. What the model leaves out: layers
choose independently of each other, tokens carry no meaning, and no expert is favoured across sequences.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

from hobbit.errors import TraceError
from hobbit.trace.bits import Floats, round_to_bfloat16, to_stored
from hobbit.trace.header import SYNTHETIC, TraceHeader
from hobbit.trace.statistics import RoutingStatistics, accuracy_of, repeats_of, skew_of
from hobbit.trace.trace import Trace
from hobbit.types import RoutingShape

Real = npt.NDArray[np.float64]
_STEPS = 10  # of bisection: the range over 1,000
_ROUNDS = 3  # skew and persistence influence each other


def generate(
    shape: RoutingShape,
    statistics: RoutingStatistics,
    sequences: Sequence[tuple[int, int]] = ((128, 128),),
    seed: int = 0,
    model: str = "synthetic",
) -> Trace:
    """A trace of `sequences` (prompt tokens, generated tokens) whose routing has about these statistics.

    Repeats and skew are stretched over the layers of `shape`; the look-ahead depth is that of the statistics.
    The same arguments make the same trace. What the model cannot reach is met as nearly as it can.

    Raises:
        TraceError: if a sequence has no prompt, or the shape cannot choose K of E experts.
    """
    if not sequences or any(prompt < 1 or more < 0 for prompt, more in sequences):
        raise TraceError(f"sequences {list(sequences)} must each have a prompt of at least 1 token")
    if not 1 <= shape.top_k <= shape.experts:
        raise TraceError(f"a layer of {shape.experts} experts cannot choose {shape.top_k}")
    starts, passes = _starts(sequences)
    source = _Source(shape, starts, sum(map(sum, sequences)), np.random.default_rng(seed))
    logits = source.fitted(statistics)
    ahead = source.lookahead(logits, statistics.lookahead)
    experts, weights = _choose(logits, shape.top_k)
    header = TraceHeader(
        model, shape.layers, shape.experts, shape.top_k, len(statistics.lookahead), "bfloat16", seed=seed,
        domain="synthetic", origin=SYNTHETIC, details={"statistics": statistics.to_json()},
    )  # fmt: skip
    return Trace(
        header,
        np.zeros(len(logits), np.int32),
        passes,
        starts,
        experts.astype(header.expert_dtype),
        weights,
        to_stored(logits, header.dtype),
        to_stored(ahead, header.dtype) if header.depth else None,
    )


def _starts(sequences: Sequence[tuple[int, int]]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    starts: list[int] = []
    passes: list[int] = []
    total = 0
    for prompt, more in sequences:
        starts.append(total)
        passes += [total, *range(total + prompt, total + prompt + more)]
        total += prompt + more
    return np.array(starts, np.int64), np.array(passes, np.int64)


def _choose(logits: Floats, top_k: int) -> tuple[npt.NDArray[np.int64], Floats]:
    """Experts and weights [T, L, K] of `logits` [T, L, E], in falling weight."""
    experts = np.argsort(-logits, axis=2, kind="stable")[..., :top_k]
    chosen = np.take_along_axis(logits, experts, axis=2)
    raw = np.exp(chosen - chosen[..., :1])
    return experts, (raw / raw.sum(axis=2, keepdims=True)).astype(np.float32)


def _stretched(values: Sequence[float], layers: int) -> Real:
    """One value a layer, by relative depth."""
    return np.interp(np.linspace(0, 1, layers), np.linspace(0, 1, len(values)), values)


def _bisect(wanted: Real, low: float, high: float, found: Callable[[Real], Real]) -> Real:
    """Where the rising functions `found`, one an entry, reach `wanted`; the nearer end if they do not."""
    lows, highs = np.full(wanted.shape, low), np.full(wanted.shape, high)
    for _ in range(_STEPS):
        middle = (lows + highs) / 2
        short = found(middle) < wanted
        lows, highs = np.where(short, middle, lows), np.where(short, highs, middle)
    result: Real = (lows + highs) / 2
    return result


@dataclass
class _Source:
    """The random numbers behind one trace, drawn once; parameters only scale them."""

    shape: RoutingShape
    starts: npt.NDArray[np.int64]
    tokens: int
    random: np.random.Generator

    def __post_init__(self) -> None:
        layers, experts = self.shape.layers, self.shape.experts
        self.noise: Floats = self.random.standard_normal((self.tokens, layers, experts), np.float32)
        popular = self.random.standard_normal((len(self.starts), layers, experts), np.float32)
        lengths = np.diff(self.starts, append=self.tokens)
        self.popularity: Floats = np.repeat(popular, lengths, axis=0)  # [T, L, E]

    def fitted(self, statistics: RoutingStatistics) -> Floats:
        """Logits [T, L, E], bfloat16 values, with the wanted repeats, skew and margin."""
        repeats = _stretched(statistics.repeats, self.shape.layers)
        uneven = _stretched(statistics.skew, self.shape.layers)
        persistence = np.full(self.shape.layers, 0.5)
        for _ in range(_ROUNDS):
            skew = _bisect(uneven, 0.0, 8.0, partial(self._skew, persistence))
            persistence = _bisect(repeats, -0.9, 0.999, partial(self._repeats, skew))
        mixed = self._mix(skew, persistence)
        scale = _bisect(np.array(statistics.margin), 0.0, 16.0, lambda s: _margin(mixed * np.float32(s)))
        return round_to_bfloat16(mixed * np.float32(scale))

    def lookahead(self, logits: Floats, wanted: Sequence[float]) -> Floats:
        """Look-ahead logits [T, L, D, E] that hit `wanted` of the first choices at each distance."""
        tokens, layers, experts = logits.shape
        first = logits.argmax(axis=2)
        spread = np.float32(logits.std())
        out = np.zeros((tokens, layers, len(wanted), experts), np.float32)
        for d, accuracy in enumerate(wanted[: layers - 1], start=1):
            noise = spread * self.random.standard_normal((tokens, layers - d, experts), np.float32)
            clean = logits[:, d:]

            def missed(error: Real, clean: Floats = clean, noise: Floats = noise) -> Real:
                return np.array(1 - accuracy_of(first, clean + np.float32(error) * noise))

            error = _bisect(np.array(1 - accuracy), 0.0, 8.0, missed)
            out[:, : layers - d, d - 1] = round_to_bfloat16(clean + np.float32(error) * noise)
        return out

    def _mix(self, skew: Real, persistence: Real) -> Floats:
        """Unscaled logits: popularity plus states that persist from token to token within a sequence."""
        keep = persistence.astype(np.float32)[:, None]  # [L, 1]
        state = np.sqrt(1 - keep**2) * self.noise
        state[self.starts] = self.noise[self.starts]
        for t in np.setdiff1d(np.arange(self.tokens), self.starts).tolist():
            state[t] += keep * state[t - 1]
        mixed: Floats = state + skew.astype(np.float32)[:, None] * self.popularity
        return mixed

    def _repeats(self, skew: Real, persistence: Real) -> Real:
        return repeats_of(self._mix(skew, persistence).argmax(axis=2), self.starts)

    def _skew(self, persistence: Real, skew: Real) -> Real:
        least = self.shape.experts - self.shape.top_k
        top = np.argpartition(self._mix(skew, persistence), least - 1, axis=2)[..., least:]
        return skew_of(top, self.starts, self.shape.experts)


def _margin(logits: Floats) -> Real:
    """Mean of g1 / (g1 + g2)."""
    if logits.shape[2] == 1:
        return np.array(0.5)
    first_two = np.partition(logits, -2, axis=2)[..., -2:]
    return np.array((1 / (1 + np.exp(first_two[..., 0] - first_two[..., 1]))).mean())
