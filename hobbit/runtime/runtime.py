"""The runtime: the steps of a token through one layer, live, traced or simulated alike.

Router transform, demands, decisions, on-demand loads, prefetches, resident experts, the rest. It decides
by the logical order of events only; the device's clock says how long that took.
"""

from __future__ import annotations

from collections.abc import Sequence

from hobbit.api import (
    Action,
    CachePolicy,
    Copy,
    Decision,
    Demand,
    Device,
    ExpertKey,
    ExpertPayload,
    Job,
    Loader,
    Prefetcher,
    RecordedExperts,
    RecordingDevice,
    Records,
    Router,
    Routing,
    RoutingShape,
    SettledExperts,
    SettlingDevice,
)
from hobbit.errors import ConfigError
from hobbit.runtime.demands import LogitsLookahead, add_unchosen, demands_from
from hobbit.runtime.events import Bus, LayerEvent, Observer
from hobbit.runtime.residency import Residency
from hobbit.runtime.transfers import Transfers
from hobbit.runtime.work import LayerWork
from hobbit.types import HIGH, RESIDENT, expert_key, expert_keys

_USE, _LOAD, _SKIP, _ = Action  # a global is read faster than a member of an enumeration


class Runtime:
    """One policy at work on one device. Build it with `hobbit.assembly.assemble`.

    A pass is `begin_pass`, then `layer` for each of the L layers in order, then `end_pass`; a sequence is
    `begin_sequence` and its passes. `batch` is how many sequences run side by side in a pass. `depth` is how
    many layers of look-ahead logits the router transform and the prefetcher want, `hosts` whether experts
    have run on the host so far.
    """

    def __init__(
        self,
        shape: RoutingShape,
        device: Device,
        loader: Loader,
        prefetcher: Prefetcher,
        cache: CachePolicy,
        router: Router,
        records: Records,
        residency: Residency,
        transfers: Transfers,
        observers: Sequence[Observer] = (),
    ) -> None:
        self.shape = shape
        self.device = device
        self.loader = loader
        self.router = router
        self.records = records
        self.residency = residency
        self.transfers = transfers
        self.depth = max(router.depth, prefetcher.depth)
        self.batch = 1
        self.hosts = False
        self._prefetcher = prefetcher
        self._cache = cache
        self._keeps = cache.keeps
        self._whole_layers = loader.whole_layers
        self._bus = Bus(observers)
        self._context = 0
        self._tokens = 0
        self._under_way: list[Copy] = []

    def begin_sequence(self) -> None:
        """A new sequence: use records start afresh, residents stay."""
        self.records.begin_sequence()
        self._cache.begin_sequence()
        self._prefetcher.begin_sequence()
        for tell in self._bus.begin_sequence:
            tell()

    def begin_pass(self, tokens: int, context: int, requests: int = 0) -> None:
        """A forward pass of T tokens starts after `context` tokens of the sequence.

        They are those of so many `requests` (0: of `batch`).
        """
        requests = requests or self.batch
        self._context = context
        self.records.begin_pass(tokens)
        self.transfers.begin_pass(self._under_way)
        self.residency.release_all()
        self.device.begin_pass(tokens, context)
        for tell in self._bus.begin_pass:
            tell(tokens, context, requests)

    def end_pass(self) -> None:
        """The pass is over, its head included."""
        self.device.end_pass(self._tokens)
        for tell in self._bus.end_pass:
            tell()

    def settled(self, activation: str | None, tokens: int) -> SettledExperts | None:
        """What runs experts of these maths (see `ExpertPayload`) on T tokens without asking where they are.

        There is something, once every expert is resident at high precision, hence for good, where routing is
        left as it is and the device can. The runtime is still to be told of each layer, without a payload.
        """
        if getattr(self.router, "rewrites", True) or not self._keeps or not self.transfers.idle:
            return None
        device = self.device
        if not isinstance(device, SettlingDevice) or not device.settles(activation, tokens):
            return None
        slots = self.residency.high_slots()
        return None if slots is None else device.settled(slots)

    def recorded(self, activation: str | None, tokens: int, top_k: int) -> RecordedExperts | None:
        """What runs the experts of layers with these maths from a recording, if the device can."""
        device = self.device
        return device.recorded(activation, tokens, top_k) if isinstance(device, RecordingDevice) else None

    def layer(self, layer: int, routing: Routing, payload: ExpertPayload | None) -> None:
        """Serve one layer's demands; `payload` does the maths (None in a replay)."""
        tokens = self._tokens = len(routing.experts)
        self.device.begin_layer(layer, tokens, self._context)
        routed = self.router.transform(layer, routing, self.residency)
        if routed is not routing and payload is not None:
            payload.reroute(routed)
        demands = demands_from(routed)
        experts, _, _, counts = zip(*demands, strict=True)
        self._cache.observe(layer, experts, counts)
        if self._whole_layers:
            add_unchosen(demands, self.shape.experts)
            experts = tuple(demand.expert for demand in demands)
        of_layer = self.residency.held_in(layer)
        held = [of_layer[expert] for expert in experts]
        decisions = self.loader.resolve(layer, demands, held)
        self.transfers.begin_layer(layer)
        loads, stall = self._serve(layer, demands, decisions, routed, payload)
        self._leave(layer)
        if self._bus.layer:
            moved = self.transfers
            event = LayerEvent(
                layer, tokens, demands, held, decisions, loads, moved.prefetched, moved.evicted,
                moved.first_uses, moved.dropped, stall,
            )  # fmt: skip
            for tell in self._bus.layer:
                tell(event)

    def _serve(
        self,
        layer: int,
        demands: Sequence[Demand],
        decisions: Sequence[Decision],
        routing: Routing,
        payload: ExpertPayload | None,
    ) -> tuple[list[Copy], int]:
        """Run the layer's experts; returns the on-demand copies and the nanoseconds lost to waiting."""
        device = self.device
        work = self._sort(layer, demands, decisions, payload)
        self._under_way = work.copies
        if work.hosted:
            self.hosts = True
            device.run_host(layer, work.hosted, payload)
        loads = self._load(work) if work.misses else []
        if payload is not None and device.queues and not work.misses:
            # All of the layer is queued at once: what the host does from here on takes the device no time.
            stall = self._run(layer, work, payload) + device.end_layer(layer)
            payload.proceed()
            self._prefetch(layer, demands, routing)
            return loads, stall
        self._prefetch(layer, demands, routing)
        stall = self._run(layer, work, payload)
        # More experts than slots (prefill through a small cache): the rest is served in waves.
        while work.misses:
            self.residency.release(layer)
            wave = self._load(work)
            if not wave:
                raise ConfigError(
                    f"the cache keeps every slot that layer {layer} could load into: leave some free, "
                    "or choose a loader that runs misses on the host"
                )
            loads += wave
            stall += self._run(layer, work, payload)
        stall += device.end_layer(layer)
        if payload is not None:
            payload.proceed()
        return loads, stall

    def _sort(
        self,
        layer: int,
        demands: Sequence[Demand],
        decisions: Sequence[Decision],
        payload: ExpertPayload | None,
    ) -> LayerWork:
        """Record the uses and sort the demands by what they wait for; held copies are kept from eviction."""
        work = LayerWork()
        if decisions.count(RESIDENT) == len(demands):  # the case that is to cost little
            keys = expert_keys(layer, HIGH, self.shape.experts)
            held = used = {keys[expert]: tokens for expert, _, _, tokens in demands}
        else:
            held, used = self._tell_apart(layer, demands, decisions, work, payload)
        self.records.use_all(used)
        jobs, copies = self.transfers.use_all(held)
        if not copies:
            work.ready = jobs
            return work
        work.copies += copies.values()
        for job in jobs:  # a prefetched copy is waited for at its first use
            (work.late if job.key in copies else work.ready).append(job)
        return work

    @staticmethod
    def _tell_apart(
        layer: int,
        demands: Sequence[Demand],
        decisions: Sequence[Decision],
        work: LayerWork,
        payload: ExpertPayload | None,
    ) -> tuple[dict[ExpertKey, int], dict[ExpertKey, int]]:
        """The tokens of what is held, and of all that is used; misses and the host's share go to `work`."""
        held: dict[ExpertKey, int] = {}
        used: dict[ExpertKey, int] = {}
        for (expert, _, _, tokens), (action, level, share) in zip(demands, decisions, strict=True):
            if action is _SKIP:
                if payload is not None and tokens:
                    payload.skip(expert)
                continue
            key = expert_key(layer, expert, level)
            used[key] = tokens
            if action is _USE:
                held[key] = tokens
            elif action is _LOAD:
                work.misses.append((key, tokens))
            elif tokens:
                work.hosted.append(Job(key, -1, tokens, share))
        return held, used

    def _load(self, work: LayerWork) -> list[Copy]:
        """Queue the misses for which there are slots; the others stay in `work.misses`."""
        loads = []
        misses, work.misses = work.misses, []
        for key, tokens in misses:
            copy = self.transfers.demand(key)
            if copy is None:
                work.misses.append((key, tokens))
            else:
                loads.append(copy)
                work.copies.append(copy)
                if tokens:
                    work.late.append(Job(key, copy.slot, tokens))
        return loads

    def _run(self, layer: int, work: LayerWork, payload: ExpertPayload | None) -> int:
        """Run what is there, wait for the copies under way and run what waited for them."""
        if work.ready:
            self.device.run(layer, work.ready, payload)
            work.ready.clear()
        if not work.copies:
            return 0
        stall = self.device.wait(work.copies)
        work.copies.clear()
        if work.late:
            self.device.run(layer, work.late, payload)
            work.late.clear()
        return stall

    def _prefetch(self, layer: int, demands: Sequence[Demand], routing: Routing) -> None:
        """Ask the prefetcher about later layers and queue what it wants."""
        depth = min(self._prefetcher.depth, self.shape.layers - 1 - layer)
        lookahead = None
        if depth > 0 and routing.lookahead is not None:
            lookahead = LogitsLookahead(routing.lookahead, self.shape.top_k, depth)
        plan = self._prefetcher.plan(layer, demands, lookahead, self.residency)
        if plan is None:
            self.transfers.prefetch([], [])
        else:
            self.transfers.prefetch(plan.fetch, plan.keep)

    def _leave(self, layer: int) -> None:
        """The layer has run: its experts may go, and do if the cache keeps nothing."""
        self.residency.release(layer)
        if not self._keeps:
            for key in self.residency.residents(layer):
                self.transfers.discard(key)
