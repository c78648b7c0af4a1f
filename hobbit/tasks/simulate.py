"""task=simulate: replay routing under a policy and its rivals on a virtual clock, without weights."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hobbit.config.compose import with_policy
from hobbit.config.model import ModelOptions
from hobbit.config.schema import HobbitConfig
from hobbit.config.tasks import SimulateTask
from hobbit.errors import ConfigError
from hobbit.report.output import emit
from hobbit.report.progress import Progress
from hobbit.report.scene import Scene
from hobbit.report.simulation import SimulationReport
from hobbit.tasks.calibration import Calibration
from hobbit.tasks.checks import check_options
from hobbit.tasks.replays import replay_others, replay_setup
from hobbit.tasks.routing import fitting_trace, is_bundled
from hobbit.trace import Trace, selection_scores


def run(config: HobbitConfig, overrides: Sequence[str]) -> int:
    """Run the task; returns the exit code. Raises HobbitError for whatever the user can mend."""
    check_options(config)
    device = config.setup().device
    if not device.simulated:
        raise ConfigError(
            f"task=simulate needs a virtual clock; device={device.name} has none: try device=orin"
        )
    with Progress() as progress:
        progress.stage("preparing the routing")
        trace = fitting_trace(config, overrides)
        report = _simulate(config, overrides, trace, progress)
    emit(report, config.output, config.out)
    return 0


def _simulate(
    config: HobbitConfig, overrides: Sequence[str], trace: Trace, progress: Progress
) -> SimulationReport:
    task = config.task
    assert isinstance(task, SimulateTask)
    bundled = is_bundled(trace)
    calibration = Calibration(bundled, lambda: selection_scores(trace), "this routing")
    config = calibration.fit(config, overrides)
    others = {name: calibration.fit(with_policy(overrides, name), ()).setup() for name in config.compare}
    tokens = int(np.diff(trace.sequence_starts, append=trace.tokens).max())
    progress.stage("replaying the routing")
    measures, assembly = replay_setup(trace, config.setup(), config.geometry, tokens)
    replayed, failed = replay_others(trace, others, config.geometry, tokens, progress)
    return SimulationReport(
        scene=Scene.of(
            config,
            assembly,
            [*calibration.notes, *assembly.notes, *failed],
            model=ModelOptions().label if bundled else trace.header.model,
            synthetic=trace.header.synthetic,
        ),
        trace=task.trace,
        sequences=trace.sequences,
        tokens=trace.tokens,
        measures=measures,
        replayed=tuple(replayed),
    )
