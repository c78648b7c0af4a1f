"""Tune the weights of HOBBIT's multidimensional cache for the least miss penalty (HOBBIT, section 3.4).

A high miss costs 1, a low miss B_low / B_high. A point of the simplex is worth the mean, over train traces
and devices, of its decode penalty relative to LRU's. A coarse grid is searched first; from its best point
on, mass is moved between two weights, by ever smaller steps, as long as that helps. The share of the low-
precision cache is tried afterwards. Test traces are never searched on: they judge the result, beside LRU
and LFU.

python -m benchmarks.tuning.cache_weights
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from itertools import permutations

import numpy as np
from hobbit_baselines.lfu import LfuComponent
from hobbit_baselines.lru import LruComponent
from hobbit_paper.lcu import LcuComponent
from hobbit_paper.multidim import MultidimComponent

from hobbit.api import CacheComponent, Routing
from hobbit.assembly import assemble
from hobbit.config.compose import compose
from hobbit.config.schema import HobbitConfig
from hobbit.trace import Pass, bundled_trace
from hobbit.trace.bundled import DOMAINS

DEVICES = ("orin", "rtx4090")
SEARCHED = (1, 3)
"""Sequences of the train traces that are searched on: 128 tokens generated after 16 and after 128."""

COARSE = 4
STEPS = (0.1, 0.05)
LOW_SHARES = (0.02, 0.05, 0.1, 0.15, 0.2, 0.3)

Weights = tuple[float, float, float, float]


@cache
def routing(domain: str, part: str) -> list[tuple[Pass, list[Routing]]]:
    """Passes of a bundled trace, converted once: of a train trace those searched on, of a test trace all."""
    trace = bundled_trace(domain, part)
    chosen = SEARCHED if part == "train" else None
    return [(span, trace.routings(span, 0)) for span in trace.passes(chosen)]


@cache
def run_on(device: str) -> HobbitConfig:
    """HOBBIT's loader on a device, without prefetches: they would hide misses, and cost time."""
    return compose(["policy=hobbit_no_prefetch", f"device={device}"])


def penalty(component: CacheComponent, domain: str, device: str, part: str) -> float:
    """Miss penalty of decoding, in high misses a token."""
    config = run_on(device)
    assembly = assemble(replace(config.setup(), cache=component), config.geometry, tokens=256)
    runtime = assembly.runtime
    for span, layers in routing(domain, part):
        if span.context == 0:
            runtime.begin_sequence()
        runtime.begin_pass(span.stop - span.start, span.context)
        for layer, said in enumerate(layers):
            runtime.layer(layer, said, None)
        runtime.end_pass()
    decode = assembly.metrics.decode
    assembly.close()
    return decode.miss_penalty(assembly.context.blob_bytes) / decode.tokens


@cache
def lru_penalty(domain: str, device: str, part: str) -> float:
    """What penalties are relative to."""
    return penalty(LruComponent(), domain, device, part)


def relative(component: CacheComponent, part: str) -> float:
    """Mean penalty over domains and devices, relative to LRU's at the default share."""
    cases = [(domain, device, part) for domain in DOMAINS for device in DEVICES]
    return float(np.mean([penalty(component, *case) / lru_penalty(*case) for case in cases]))


@cache
def cost(weights: Weights) -> float:
    """Relative penalty of a point of the simplex on the train traces."""
    found = relative(component_of(weights), "train")
    print(f"  {weights}: {found:.4f}", flush=True)
    return found


def component_of(weights: Weights, low_share: float = MultidimComponent.low_share) -> MultidimComponent:
    """The cache with these weights."""
    return MultidimComponent(low_share, *weights)


def grid(parts: int) -> Iterator[Weights]:
    """All points of the simplex whose coordinates are multiples of 1 / parts."""
    for a in range(parts + 1):
        for b in range(parts + 1 - a):
            for c in range(parts + 1 - a - b):
                yield (a / parts, b / parts, c / parts, (parts - a - b - c) / parts)


def neighbours(weights: Weights, step: float) -> Iterator[Weights]:
    """Points with `step` moved from one weight to another."""
    for source, target in permutations(range(4), 2):
        moved = list(weights)
        moved[source] -= step
        moved[target] += step
        if moved[source] > -1e-9:
            yield tuple(round(weight, 4) for weight in moved)  # type: ignore[misc]


def descend(best: Weights, step: float) -> Weights:
    """The point that no neighbour betters."""
    while True:
        better = min(neighbours(best, step), key=cost)
        if cost(better) >= cost(best):
            return best
        best = better


def main() -> None:
    best = min(grid(COARSE), key=cost)
    for step in STEPS:
        best = descend(best, step)
    print(f"best weights (lru, lfu, lhu, fld): {best}, train penalty {cost(best):.4f} of LRU's")
    for share in LOW_SHARES:
        print(f"  low_share {share}: {relative(component_of(best, share), 'train'):.4f}")
    for name, component in (
        ("lru", LruComponent()),
        ("lfu", LfuComponent()),
        ("lcu", LcuComponent()),
        ("multidim, equal weights", MultidimComponent()),
        ("multidim_tuned", component_of(best)),
    ):
        print(f"test penalty of {name}: {relative(component, 'test'):.4f} of LRU's")


if __name__ == "__main__":
    main()
