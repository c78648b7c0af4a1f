"""task=simulate: replay routing under a policy and its rivals on a virtual clock, without weights."""

from __future__ import annotations

from collections.abc import Sequence

from hobbit.config.compose import with_policy
from hobbit.config.schema import HobbitConfig
from hobbit.config.tasks import SimulateTask
from hobbit.report.output import emit
from hobbit.report.progress import Progress
from hobbit.report.simulation import SimulationReport
from hobbit.tasks.recorded import Recorded, check_replay
from hobbit.tasks.replays import replay_others, replay_setup


def run(config: HobbitConfig, overrides: Sequence[str]) -> int:
    """Run the task; returns the exit code. Raises HobbitError for whatever the user can mend."""
    check_replay(config)
    with Progress() as progress:
        progress.stage("preparing the routing")
        recorded = Recorded.of(config, overrides)
        report = _simulate(config, overrides, recorded, progress)
    emit(report, config.output, config.out)
    return 0


def _simulate(
    config: HobbitConfig, overrides: Sequence[str], recorded: Recorded, progress: Progress
) -> SimulationReport:
    task, trace, tokens = config.task, recorded.trace, recorded.context
    assert isinstance(task, SimulateTask)
    fit = recorded.calibration.fit
    config = fit(config, overrides)
    others = {name: fit(with_policy(overrides, name), ()).setup() for name in config.compare}
    progress.stage("replaying the routing")
    measures, assembly = replay_setup(trace, config.setup(), config.geometry, tokens)
    replayed, failed = replay_others(trace, others, config.geometry, tokens, progress)
    return SimulationReport(
        scene=recorded.scene(config, assembly, failed),
        trace=task.trace,
        sequences=trace.sequences,
        tokens=trace.tokens,
        queue=config.workload.queue(),
        measures=measures,
        replayed=tuple(replayed),
    )
