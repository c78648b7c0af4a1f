"""Runs: one policy on one device, model and routing, replayed on the device's virtual clock."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from benchmarks.reproduction.claims import MIXTRAL
from benchmarks.reproduction.figures import Figures, Outcome
from hobbit.assembly import Assembly
from hobbit.config.compose import compose
from hobbit.config.schema import HobbitConfig
from hobbit.config.workload import Lengths
from hobbit.errors import HobbitError
from hobbit.report.progress import Progress
from hobbit.runtime import Observer
from hobbit.tasks.calibration import Calibration
from hobbit.tasks.comparison.routing import WorkloadRouting, workload_routing
from hobbit.tasks.replays import assembled, past_beside
from hobbit.tasks.routing import find_trace, is_bundled
from hobbit.trace.bundled import DOMAINS
from hobbit.trace.replay import replay
from hobbit.trace.scores import weights_scores

WORKLOAD = (Lengths(16, 32), Lengths(16, 128), Lengths(128, 32), Lengths(128, 128))
"""Prompt and generated tokens of HOBBIT's section 5."""

CONTEXT = 256
"""Tokens that the KV cache has room for: the longest of the workload."""


@dataclass(frozen=True, slots=True)
class Run:
    """`words` choose and set the policy, as on the command line.

    `lengths`: a sequence of these lengths from each of `traces`, generated for shapes other than theirs;
    None: the one trace as it was recorded.
    """

    words: tuple[str, ...]
    device: str
    geometry: str = MIXTRAL
    lengths: Lengths | None = None
    traces: tuple[str, ...] = DOMAINS


Outcomes = Mapping[Run, Outcome]


def policy(name: str, device: str, geometry: str = MIXTRAL, *words: str) -> list[Run]:
    """A preset on the whole workload, with `words` that set its options."""
    chosen = (f"policy={name}", *words)
    return [Run(chosen, device, geometry, lengths) for lengths in WORKLOAD]


def total(outcomes: Outcomes, runs: Iterable[Run]) -> Outcome:
    """The sum over `runs`."""
    first, *rest = [outcomes[run] for run in runs]
    return sum(rest, first)


def measure_all(runs: Iterable[Run]) -> dict[Run, Outcome]:
    """Every run once, in parallel processes."""
    wanted = list(dict.fromkeys(runs))
    outcomes = {}
    with ProcessPoolExecutor() as workers, Progress() as progress:
        for run, outcome in zip(wanted, workers.map(measure_run, wanted), strict=True):
            outcomes[run] = outcome
            progress.stage(f"{len(outcomes)} of {len(wanted)} replays")
    return outcomes


def measure_run(run: Run) -> Outcome:
    """The figures of `run`; an error is part of the outcome."""
    try:
        assembly = replayed(run)
    except HobbitError as error:
        return Outcome(error=" ".join(str(error).split()))
    sizes, metrics = assembly.context.blob_bytes, assembly.metrics
    slots = assembly.plan.slots
    return Outcome(Figures.of(metrics.prefill, sizes), Figures.of(metrics.decode, sizes), slots)


def replayed(run: Run, *observers: Observer) -> Assembly:
    """The assembly after `run`, closed; `observers` have heard of every layer.

    Raises:
        HobbitError: if there is no such policy, or it cannot run there.
    """
    config = compose([*run.words, f"device={run.device}", f"geometry={run.geometry}"])
    routing = _routing(run, config)
    setup = _fitted(config, run, routing).setup()
    with assembled(routing.trace, setup, config.geometry, CONTEXT, routing.past, observers) as assembly:
        replay(routing.trace, assembly.runtime)
    return assembly


def _routing(run: Run, config: HobbitConfig) -> WorkloadRouting:
    if run.lengths is not None:
        return workload_routing(run.traces, config.geometry.shape, run.lengths, config.seed)
    trace = find_trace(*run.traces)
    return WorkloadRouting(trace, past_beside(trace), "recorded")


def _fitted(config: HobbitConfig, run: Run, routing: WorkloadRouting) -> HobbitConfig:
    """Thresholds that are another model's are fitted to routing generated with another seed."""

    def scores() -> npt.NDArray[np.float64]:
        return np.concatenate([weights_scores(request.weights) for request in routing.past()])

    bundled = is_bundled(routing.trace)
    return Calibration(bundled, scores, "other routing").fit(config, run.words)
