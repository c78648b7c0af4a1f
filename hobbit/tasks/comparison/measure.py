"""One cell, measured: a replay for its speed, a live run for the quality of what is lossy."""

from __future__ import annotations

from dataclasses import replace
from time import perf_counter

import numpy as np
import numpy.typing as npt

from hobbit import __version__
from hobbit.api import HIGH, Effect
from hobbit.api.quantizer import same_weights
from hobbit.config.schema import HobbitConfig
from hobbit.errors import HobbitError
from hobbit.report.cell import Cell, CellQuality
from hobbit.report.measures import Measures
from hobbit.report.scene import Scene
from hobbit.tasks.calibration import Calibration
from hobbit.tasks.comparison.routing import WorkloadRouting, workload_routing
from hobbit.tasks.comparison.spec import CellSpec
from hobbit.tasks.replays import replay_setup
from hobbit.tasks.routing import is_bundled
from hobbit.trace import Trace, selection_scores
from hobbit.trace.scores import weights_scores


def measure_cell(spec: CellSpec, quality: CellQuality | None) -> Cell:
    """The cell of `spec`; `quality` is that of its unit, where another cell has told it.

    What the policy cannot do here becomes the cell's `error`; a component that breaks down does so too, so
    that one of many does not end the grid.
    """
    started = perf_counter()
    try:
        cell = _measured(spec, quality)
    except HobbitError as error:
        cell = replace(_blank(spec), error=" ".join(str(error).split()))
    except Exception as error:  # a stranger's component may raise anything
        cell = replace(_blank(spec), error=f"{type(error).__name__}: {' '.join(str(error).split())}")
    return replace(cell, seconds=round(perf_counter() - started, 3))


def _blank(spec: CellSpec) -> Cell:
    return Cell(
        version=__version__,
        key=spec.key,
        policy=spec.policy,
        device=spec.device,
        geometry=spec.geometry,
        workload=spec.config.workload.label,
        comparison=spec.comparison,
        prompt_tokens=spec.lengths.prompt,
        decode_tokens=spec.lengths.decode,
    )


def _measured(spec: CellSpec, quality: CellQuality | None) -> Cell:
    tokens, shape = sum(spec.lengths), spec.config.geometry.shape
    waiting = spec.config.workload.waiting
    routing = workload_routing(spec.traces, shape, spec.lengths, spec.config.seed, waiting)
    bundled = is_bundled(routing.trace)
    config, notes = _fitted(spec, routing, bundled)
    measures, assembly = replay_setup(routing.trace, config.setup(), config.geometry, tokens, routing.past)
    scene = Scene.of(config, assembly, [*notes, *assembly.notes])
    lossless = not scene.lossy and same_weights(scene.precisions[HIGH], spec.high)
    if bundled and not lossless and not config.setup().needs_future:
        measures, quality = _live(spec, config, routing.trace, measures, quality)
    return replace(
        _blank(spec),
        routing=routing.origin,
        synthetic=routing.trace.header.synthetic,
        simulated=scene.simulated,
        effect=_effect(config, lossless),
        lossless=lossless,
        precisions=scene.precisions,
        slots=assembly.plan.slots,
        measures=measures,
        quality=quality,
        notes=scene.notes,
    )


def _fitted(spec: CellSpec, routing: WorkloadRouting, bundled: bool) -> tuple[HobbitConfig, list[str]]:
    """The configuration with thresholds fitted to other routing than the reported, where there is some."""
    trace, source = routing.trace, "this routing"
    if trace.header.synthetic:
        source = "routing generated like this with another seed"

    def scores() -> npt.NDArray[np.float64]:
        if not trace.header.synthetic:
            return selection_scores(trace)
        return np.concatenate([weights_scores(request.weights) for request in routing.past()])

    calibration = Calibration(bundled, scores, source)
    return calibration.fit(spec.config, spec.words), calibration.notes


def _live(
    spec: CellSpec, config: HobbitConfig, trace: Trace, measures: Measures, quality: CellQuality | None
) -> tuple[Measures, CellQuality | None]:
    """What a live run adds, or says better. Imports torch, which most cells do without."""
    from hobbit.tasks.comparison.quality import live_measures, live_quality

    if spec.live:
        measures = live_measures(config, trace, sum(spec.lengths))
    if config.quality.enabled and quality is None:
        quality = live_quality(config, spec.high, spec.longest)
    return measures, quality


def _effect(config: HobbitConfig, lossless: bool) -> Effect:
    """What the policy may change as it is used here: a mixed-precision loader that loads high is a hint."""
    parts = (config.loader, config.prefetcher, config.cache, config.router)
    if not lossless:
        return Effect.QUALITY
    return Effect.EXACT if any(part.effect is Effect.EXACT for part in parts) else Effect.HINT
