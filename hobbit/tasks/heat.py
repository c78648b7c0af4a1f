"""task=heat: how often each expert is used and found, as JSON and as a picture."""

from __future__ import annotations

from collections.abc import Sequence

from hobbit.config.compose import policy_of
from hobbit.config.schema import HobbitConfig
from hobbit.config.tasks import HeatTask
from hobbit.report.heat import ExpertCounts, HeatReport, hit_ratios_of, uses_of
from hobbit.report.output import as_json, emit, write_out
from hobbit.report.pictures.heat_map import heat_map
from hobbit.report.progress import Progress
from hobbit.tasks.drawn import check_beside, check_drawn, files_of, write_beside
from hobbit.tasks.recorded import Recorded, check_replay
from hobbit.tasks.replays import assembled
from hobbit.trace.replay import replay


def run(config: HobbitConfig, overrides: Sequence[str]) -> int:
    """Run the task; returns the exit code. Raises HobbitError for whatever the user can mend."""
    check_replay(config)
    out = check_drawn(config, ".json")
    check_beside(out)
    with Progress() as progress:
        progress.stage("replaying the routing")
        recorded = Recorded.of(config, overrides)
        files = tuple(map(str, files_of(out)))
        report = _count(recorded.calibration.fit(config, overrides), recorded, files)
        write_out(str(out), as_json(report))
        write_beside(heat_map(report, policy_of(overrides)), out)
    emit(report, config.output, None)
    return 0


def _count(config: HobbitConfig, recorded: Recorded, files: tuple[str, ...]) -> HeatReport:
    task, trace = config.task, recorded.trace
    assert isinstance(task, HeatTask)
    counts = ExpertCounts(trace.header.shape)
    setup, geometry = config.setup(), config.geometry
    with assembled(trace, setup, geometry, recorded.context, observers=[counts]) as assembly:
        replay(trace, assembly.runtime)
    return HeatReport(
        scene=recorded.scene(config, assembly),
        trace=task.trace,
        files=files,
        decode_tokens=assembly.metrics.decode.tokens,
        uses=uses_of(counts),
        hit_ratios=hit_ratios_of(counts),
    )
