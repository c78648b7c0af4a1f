"""task=report: a folder of results as one HTML page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hobbit.config.schema import HobbitConfig
from hobbit.config.tasks import ReportTask
from hobbit.report.html.gathered import gather
from hobbit.report.html.results import page_of
from hobbit.report.output import write_out
from hobbit.report.progress import Progress
from hobbit.tasks.checks import check_options
from hobbit.tasks.drawn import check_drawn


def run(config: HobbitConfig, overrides: Sequence[str]) -> int:
    """Run the task; returns the exit code. Raises HobbitError for whatever the user can mend."""
    task = config.task
    assert isinstance(task, ReportTask)
    check_options(config)
    out = check_drawn(config, ".html")
    write_page(Path(task.results), out)
    print(f"wrote {out}")
    return 0


def write_page(results: Path, out: Path) -> None:
    """Gather what is in the folder `results` and write it to `out`.

    Raises:
        ConfigError: if there is nothing, matplotlib is missing, or the file cannot be written.
    """
    with Progress() as progress:
        progress.stage("drawing")
        write_out(str(out), page_of(gather(results)).html())
