"""task=bench: policies and other engines on a synthetic model of a geometry, timed on a real device."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hobbit.config.schema import HobbitConfig
from hobbit.config.tasks import BenchTask
from hobbit.report.output import emit
from hobbit.report.pictures.picture import check_matplotlib
from hobbit.report.pictures.token_time import token_time_picture
from hobbit.report.progress import Progress
from hobbit.tasks.workbench import Workbench, check_bench


def run(config: HobbitConfig, overrides: Sequence[str]) -> int:
    """Run the task; returns the exit code. Raises HobbitError for whatever the user can mend."""
    check_bench(config)
    task = config.task
    assert isinstance(task, BenchTask)
    if task.picture:
        check_matplotlib()
    with Progress() as progress:
        bench = Workbench.of(config, overrides, progress.stage)
        bench.run_policies(task.policies)
        bench.run_peers(task.peers)
    report = bench.report()
    if task.picture and report.result.rows:
        token_time_picture(report).write(Path(task.picture))
    emit(report, config.output, config.out)
    return 0
