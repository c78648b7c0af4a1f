"""The governor: prefetching that measures itself, and turns itself down where it does not pay."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf, sqrt

from hobbit.api import Demand, ExpertKey, Lookahead, Prefetcher, PrefetchPlan, ResidencyView
from hobbit.runtime.events import LayerEvent, Observer

PROBE = 4
"""Decoded tokens without prefetches that tell what a byte loaded on demand costs."""

WINDOW = 12
"""Decoded tokens between two judgements."""

MEMORY = 8 * WINDOW
"""Tokens after which older ones count half."""

PAUSE, LONGEST_PAUSE = 64, 1024
"""Decoded tokens before a reach that was given up is tried again; twice as many each time."""

REACHES = (inf, 1, 0)
"""How many layers ahead prefetches may reach: as far as the prefetcher likes, the next layer, none."""


class PrefetchGovernor(Observer):
    """Weighs what prefetches hide against what they cost, in decode, and sets `reach` accordingly.

    Without prefetches a token stalls in proportion to the bytes it loads; short probes tell the rate. With
    them it would have loaded, on demand, the copies that it did load and those it found prefetched, less the
    ones that were missing because a prefetch had evicted them. What that would have cost, less the stall that
    there was, is what prefetching hid in that token: below zero by more than its standard error, and the
    reach is lowered by a step.
    """

    def __init__(self, stall_ns: Callable[[], int]) -> None:
        self.reach = inf
        self.log: list[str] = []
        self._step = 0  # of REACHES, once the probe is over
        self._tokens = 0  # decoded so far
        self._until = PROBE  # at this token a probe or a pause ends
        self._pause = PAUSE
        self._rate = _Rate()
        self._judged = _Mean()
        self._issued = self._used = 0
        self._furthest = 0  # layers ahead
        self._waiting: dict[ExpertKey, int] = {}  # prefetched, and not used so far: bytes
        self._displaced: dict[ExpertKey, ExpertKey] = {}  # who had to go: for which prefetch
        self._right: set[ExpertKey] = set()  # prefetches that were of use
        self._pass = _PassSums()
        self._decode = False
        self._stall_ns = stall_ns  # of the device so far: some tell of a layer's waits only later
        self._stalled_ns = 0

    def begin_pass(self, tokens: int, context: int, requests: int) -> None:
        """Only decoding is judged; a prompt uses nearly everything."""
        self._decode = context > 0 and tokens <= requests
        if self._decode and not self._tokens:
            self.reach = 0  # the first probe
        self._pass = _PassSums()
        self._stalled_ns = self._stall_ns()

    def layer(self, event: LayerEvent) -> None:
        """Follow every prefetched copy to its first use or its end, and every resident that left for one."""
        sums = self._pass
        for copy in event.loads:
            sums.loaded += copy.nbytes
            by = self._displaced.pop(copy.key, None)
            # Had the prefetch been of use, its copy would have displaced somebody anyway.
            if by is not None and by not in self._right:
                sums.displaced += copy.nbytes
        for copy in event.first_uses:
            self._use(copy.key)
        issued = len(event.prefetches)
        leaving = len(event.evicted) - issued  # those who made room for prefetches are a layer's last
        for place, key in enumerate(event.evicted):
            foreseen = self._waiting.pop(key, 0)
            if place >= leaving >= 0 and not foreseen:
                self._displaced[key] = event.prefetches[place - leaving].key
        for copy in event.prefetches:
            key = copy.key
            self._waiting[key] = copy.nbytes
            self._displaced.pop(key, None)
            self._right.discard(key)
        if issued:
            self._issued += issued
            furthest = max([copy.key.layer for copy in event.prefetches])
            self._furthest = max(self._furthest, furthest - event.layer)

    def _use(self, key: ExpertKey) -> None:
        nbytes = self._waiting.pop(key, 0)
        if nbytes:
            self._pass.used += nbytes
            self._used += 1
            self._right.add(key)

    def end_pass(self) -> None:
        """Take the token into account, and judge if it is time."""
        if not self._decode:
            return
        self._tokens += 1
        sums, stall_ns = self._pass, self._stall_ns() - self._stalled_ns
        if self.reach == 0:
            if not sums.used:  # else it still lives on earlier prefetches
                self._rate.add(sums.loaded, stall_ns)
            if self._tokens >= self._until:
                self._resume()
            return
        would_load = sums.loaded - sums.displaced + sums.used
        self._judged.add(self._rate.ns(would_load) - stall_ns)
        if self._judged.count % WINDOW == 0:
            self._judge()

    def note(self) -> str | None:
        """What became of prefetching, for the user; None if nothing was prefetched."""
        if self.log:
            return "; ".join(self.log[-2:])
        if not self._issued or not self._judged.count:
            return None
        return f"prefetching stayed on: {self._share()} used, {_saved(self._judged.mean / 1e6)}"

    def _judge(self) -> None:
        judged, tried_in_full = self._judged, self._step == 0
        if self._issued and judged.mean + judged.error < 0:
            # Who never looked further than the next layer has no step between.
            self._step = 2 if self._furthest <= 1 else self._step + 1
            lowered = "turned itself off" if REACHES[self._step] == 0 else "now reaches one layer"
            self.log.append(
                f"prefetching {lowered} after {self._tokens} tokens: {self._share()} used, "
                f"{_saved(judged.mean / 1e6)}"
            )
            self._begin(REACHES[self._step])
        elif not tried_in_full and self._tokens >= self._until:
            self._resume()
        elif judged.count >= MEMORY:
            judged.halve()

    def _begin(self, reach: float) -> None:
        """Go on with this reach, judged afresh; what lies further is tried again after a pause."""
        self.reach = reach
        self._judged = _Mean()
        self._issued = self._used = 0
        self._until = self._tokens + self._pause
        self._pause = min(2 * self._pause, LONGEST_PAUSE)

    def _resume(self) -> None:
        """Try the full reach (again)."""
        if self.log:
            self.log.append(f"tried again after {self._tokens}")
        self._step = self._issued = self._used = 0
        self.reach = REACHES[0]
        self._judged = _Mean()

    def _share(self) -> str:
        return f"{100 * self._used / max(1, self._issued):.0f} %"


class GovernedPrefetcher:
    """A prefetcher whose plans are cut to what its governor lets pass.

    It is asked all the same, since it may learn from what it sees. Copies for the running layer, which serve
    later tokens (DynaExq), are none of the governor's business.
    """

    def __init__(self, prefetcher: Prefetcher, governor: PrefetchGovernor) -> None:
        self.depth = prefetcher.depth
        self.staging = prefetcher.staging
        self._prefetcher = prefetcher
        self._governor = governor

    def begin_sequence(self) -> None:
        """Tell the prefetcher."""
        self._prefetcher.begin_sequence()

    def plan(
        self, layer: int, demands: Sequence[Demand], lookahead: Lookahead | None, view: ResidencyView
    ) -> PrefetchPlan | None:
        """The prefetcher's plan, as far as it may reach."""
        plan = self._prefetcher.plan(layer, demands, lookahead, view)
        if plan is None or self._governor.reach == inf:
            return plan
        last = layer + self._governor.reach
        return PrefetchPlan(*([key for key in keys if key.layer <= last] for keys in (plan.fetch, plan.keep)))


@dataclass(slots=True)
class _PassSums:
    """Bytes of one pass: loaded on demand, of them because displaced, and found prefetched."""

    loaded: int = 0
    displaced: int = 0
    used: int = 0


class _Rate:
    """Nanoseconds that a byte loaded on demand costs, from tokens without prefetches."""

    def __init__(self) -> None:
        self._nbytes = self._stall_ns = 0

    def add(self, nbytes: int, stall_ns: int) -> None:
        self._nbytes += nbytes
        self._stall_ns += stall_ns

    def ns(self, nbytes: int) -> float:
        return nbytes * self._stall_ns / self._nbytes if self._nbytes else 0.0


class _Mean:
    """Running mean and its standard error."""

    def __init__(self) -> None:
        self.count = 0
        self._sum = self._squares = 0.0

    def add(self, value: float) -> None:
        self.count += 1
        self._sum += value
        self._squares += value * value

    def halve(self) -> None:
        """Let what was added so far count half."""
        self.count //= 2
        self._sum /= 2
        self._squares /= 2

    @property
    def mean(self) -> float:
        return self._sum / self.count if self.count else 0.0

    @property
    def error(self) -> float:
        return sqrt(max(0.0, self._squares / self.count - self.mean**2) / self.count) if self.count else inf


def _saved(mean_ms: float) -> str:
    if mean_ms < 0:
        return f"it cost {-mean_ms:.3g} ms a token more than it hid"
    return f"it hid {mean_ms:.3g} ms a token"
