"""Tune the weights of HOBBIT's multidimensional cache for the least miss penalty (HOBBIT, section 3.4).

A high miss costs 1, a low miss B_low / B_high. What is lowered is the decode penalty relative to LFU's, the
hardest rival: half its mean over train traces and devices, half its worst case, so that none is given up for
the others. A coarse grid over the simplex is searched for both readings of the low cache's H, on a part of
the train traces; from the best point of each on, mass is moved between two weights while that helps. The
better of the two goes on by smaller steps on whole traces. Test traces are never searched on: they judge.

python -m benchmarks.tuning.cache_weights

Writes conf/cache/multidim_tuned.yaml at the end. About five minutes on two cores that do nothing else.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cache
from itertools import permutations, product
from pathlib import Path

import numpy as np
import numpy.typing as npt
from hobbit_baselines.lfu import LfuComponent
from hobbit_baselines.lru import LruComponent
from hobbit_paper.lcu import LcuComponent
from hobbit_paper.multidim import MultidimComponent

from hobbit.api import CacheComponent
from hobbit.assembly import assemble
from hobbit.config.compose import compose
from hobbit.config.schema import HobbitConfig
from hobbit.trace import Trace, bundled_trace
from hobbit.trace.bundled import DOMAINS
from hobbit.trace.replay import replay

FILE = Path(__file__).parents[2] / "conf" / "cache" / "multidim_tuned.yaml"

DEVICES = ("orin", "rtx4090")
CASES = tuple(product(DEVICES, DOMAINS))
COARSE_SEQUENCES = (1,)
"""Sequences of the train traces for the first steps: 128 tokens generated after 16."""

COARSE = 4
COARSE_STEP, FINE_STEP = 0.1, 0.05
LOW_SHARES = (0.02, 0.1, 0.2)

Weights = tuple[float, float, float, float]
Penalties = npt.NDArray[np.float64]
Task = tuple[CacheComponent, str, str, str, Sequence[int] | None]

HEADER = """\
# Weights for the least miss penalty on the train traces of the bundled model
# Found by benchmarks.tuning.cache_weights ({points} points; orin and rtx4090, three domains, no prefetching).
# Decode penalty below LFU's, mean and least of the six cases: train {train}, test {test}; below
# LRU's in one global pool: test {lru}.
defaults:
  - multidim
  - _self_

w_lru: {w_lru}
w_lfu: {w_lfu}
w_lhu: {w_lhu}
w_fld: {w_fld}
own_level: {own_level}
"""


@cache
def trace_of(domain: str, part: str) -> Trace:
    """A bundled trace, read once a process."""
    return bundled_trace(domain, part)


@cache
def run_on(device: str) -> HobbitConfig:
    """HOBBIT's loader on a device, without prefetches: they would hide misses, and cost time."""
    return compose(["policy=hobbit_no_prefetch", f"device={device}"])


def penalty(task: Task) -> float:
    """Miss penalty of decoding, in high misses a token."""
    component, device, domain, part, sequences = task
    config = run_on(device)
    assembly = assemble(replace(config.setup(), cache=component), config.geometry, tokens=256)
    try:
        replay(trace_of(domain, part), assembly.runtime, sequences)
        decode = assembly.metrics.decode
        return decode.miss_penalty(assembly.context.blob_bytes) / decode.tokens
    finally:
        assembly.close()


@dataclass
class Judge:
    """Penalties of caches on one part of the traces, worked out in parallel; what is known is not redone."""

    workers: ProcessPoolExecutor
    part: str
    sequences: Sequence[int] | None = None
    costs: dict[str, float] = field(default_factory=dict)
    _lfu: Penalties | None = None

    def penalties(self, components: Sequence[CacheComponent]) -> Penalties:
        """[component, case]."""
        tasks = [(c, *case, self.part, self.sequences) for c in components for case in CASES]
        return np.array(list(self.workers.map(penalty, tasks))).reshape(-1, len(CASES))

    def cheapest(self, components: Sequence[MultidimComponent]) -> MultidimComponent:
        """The one with the least cost; of several the first."""
        new = {repr(c): c for c in components if repr(c) not in self.costs}
        if self._lfu is None:
            self._lfu = self.penalties([LfuComponent()])[0]
        for name, found in zip(new, self.penalties(list(new.values())) / self._lfu, strict=True):
            self.costs[name] = float(found.mean() + found.max()) / 2
            _say(f"  {name}: {self.costs[name]:.4f}")
        return min(components, key=self.cost)

    def cost(self, component: MultidimComponent) -> float:
        """What is known of it: half the mean, half the worst penalty relative to LFU's."""
        return self.costs[repr(component)]

    def descend(self, best: MultidimComponent, step: float) -> MultidimComponent:
        """The point that no neighbour betters."""
        while (better := self.cheapest([best, *neighbours(best, step)])) != best:
            best = better
        return best


def grid(parts: int, own_level: bool) -> list[MultidimComponent]:
    """All points of the simplex whose coordinates are multiples of 1 / parts."""
    steps = product(range(parts + 1), repeat=3)
    points = ((a, b, c, parts - a - b - c) for a, b, c in steps if a + b + c <= parts)
    return [with_weights(tuple(w / parts for w in point), own_level) for point in points]


def with_weights(weights: Sequence[float], own_level: bool) -> MultidimComponent:
    """The cache with these weights, in the order lru, lfu, lhu, fld."""
    w_lru, w_lfu, w_lhu, w_fld = (round(weight, 4) for weight in weights)
    return MultidimComponent(w_lru=w_lru, w_lfu=w_lfu, w_lhu=w_lhu, w_fld=w_fld, own_level=own_level)


def neighbours(point: MultidimComponent, step: float) -> Iterator[MultidimComponent]:
    """Points with `step` moved from one weight to another."""
    weights = (point.w_lru, point.w_lfu, point.w_lhu, point.w_fld)
    for source, target in permutations(range(4), 2):
        moved = list(weights)
        moved[source] -= step
        moved[target] += step
        if moved[source] > -1e-9:
            yield with_weights(moved, point.own_level)


def search(workers: ProcessPoolExecutor) -> tuple[MultidimComponent, int]:
    """The best point, and how many were tried."""
    coarse, fine = Judge(workers, "train", COARSE_SEQUENCES), Judge(workers, "train")
    readings = [
        coarse.descend(coarse.cheapest(grid(COARSE, own_level)), COARSE_STEP) for own_level in (False, True)
    ]
    _say("by reading: " + "; ".join(f"{coarse.cost(best):.4f} {best}" for best in readings))
    best = fine.descend(min(readings, key=coarse.cost), FINE_STEP)
    return best, len(coarse.costs | fine.costs)


def report(best: MultidimComponent, points: int, workers: ProcessPoolExecutor) -> str:
    """Judge `best` on the test traces, on stderr; the YAML file."""
    rivals: dict[str, CacheComponent] = {
        "lfu": LfuComponent(),
        "multidim_tuned": best,
        "lru": LruComponent(per_layer=False),
        "lru, slots per layer": LruComponent(per_layer=True),
        "lcu": LcuComponent(),
        "multidim, equal weights": MultidimComponent(),
    }
    train = Judge(workers, "train")
    known = train.penalties([rivals["lfu"], best])
    test = Judge(workers, "test").penalties(list(rivals.values()))
    _say("penalty a token on the test traces, " + ", ".join(map(" ".join, CASES)))
    for name, row in zip(rivals, test, strict=True):
        _say(f"  {name:24} " + "  ".join(f"{value:6.2f}" for value in row))
    for share in LOW_SHARES:
        found = train.penalties([replace(best, low_share=share)]).mean()
        _say(f"  train, low_share {share}: {found / known[1].mean():.3f} of that at {best.low_share}")
    lfu, tuned, lru = test[:3]
    return HEADER.format(
        points=points, train=_percent(1 - known[1] / known[0]), test=_percent(1 - tuned / lfu),
        lru=_percent(1 - tuned / lru), w_lru=best.w_lru, w_lfu=best.w_lfu, w_lhu=best.w_lhu, w_fld=best.w_fld,
        own_level=str(best.own_level).lower(),
    )  # fmt: skip


def _percent(shares: Penalties) -> str:
    return f"{100 * shares.mean():.1f}, {100 * shares.min():.1f} %"


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def main() -> None:
    with ProcessPoolExecutor() as workers:
        text = report(*search(workers), workers)
    FILE.write_text(text, encoding="utf-8")
    print(text, end="")


if __name__ == "__main__":
    main()
