"""task=compare: policies on devices and geometries, side by side, resumable."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

from rich.console import Console

from hobbit.config.schema import HobbitConfig, Output
from hobbit.config.tasks import CompareTask
from hobbit.errors import ConfigError
from hobbit.report.bounds import with_bounds
from hobbit.report.cell import Cell, CellQuality
from hobbit.report.comparison_tables import comparison_json, comparison_markdown, print_comparison
from hobbit.report.grid_progress import GridProgress
from hobbit.report.output import WIDTH
from hobbit.report.pictures import draw_all
from hobbit.tasks.checks import check_options, check_sample
from hobbit.tasks.comparison.executors import check_executor, executor_of
from hobbit.tasks.comparison.grid import make_grid
from hobbit.tasks.comparison.results import CELLS, Results
from hobbit.tasks.comparison.schedule import measured
from hobbit.tasks.comparison.spec import CellSpec
from hobbit.tasks.report import write_page

FOLDER = "hobbit-comparison"
"""Where results go unless `out` says otherwise."""


def run(config: HobbitConfig, overrides: Sequence[str]) -> int:
    """Run the task; returns the exit code. Raises HobbitError for whatever the user can mend."""
    task = config.task
    assert isinstance(task, CompareTask)
    check_options(replace(config, out=None))
    if config.quality.enabled:
        check_sample("quality", config.quality.tokens, config.quality.domains)
    check_executor(task)
    specs = make_grid(config, overrides)
    results = Results(Path(config.out or FOLDER))
    finished = {} if task.fresh else {cell.key: cell for cell in results.cells() if cell.error is None}
    try:
        _measure(specs, finished, results, task)
    except KeyboardInterrupt:
        _say(f"interrupted: {results.path} keeps what is done; the same command goes on from there")
        raise
    return _report(specs, results, config.output)


def _measure(
    specs: Sequence[CellSpec], finished: dict[str, Cell], results: Results, task: CompareTask
) -> None:
    """Have measured, and keep, what is not finished."""
    left = [spec for spec in specs if spec.key not in finished]
    known = {spec.unit: quality for spec in specs if (quality := _quality(finished.get(spec.key)))}
    kept = len(specs) - len(left)
    if kept:
        _say(
            f"{kept} of {len(specs)} cells are in {results.path} already (task.fresh=true measures them anew)"
        )
    with executor_of(task, len(left)) as submit, GridProgress(len(specs), kept) as progress:
        for cell in measured(left, known, submit):
            results.append(cell)
            progress.advance(f"{cell.policy} on {cell.device}, {cell.geometry}")


def _quality(cell: Cell | None) -> CellQuality | None:
    return None if cell is None else cell.quality


def _report(specs: Sequence[CellSpec], results: Results, output: Output) -> int:
    """Tables of this grid on standard output; files of all that the folder has of this comparison."""
    everything = [cell for cell in results.cells() if cell.comparison == specs[0].comparison]
    everything = with_bounds(everything)
    keys = {spec.key: place for place, spec in enumerate(specs)}
    ours = sorted((cell for cell in everything if cell.key in keys), key=lambda cell: keys[cell.key])
    written = [
        results.write("comparison.md", comparison_markdown(everything)),
        results.write("comparison.json", comparison_json(everything)),
    ]
    if output is Output.json:
        sys.stdout.write(comparison_json(ours))
    else:
        console = Console()
        print_comparison(ours, Console(width=max(WIDTH, console.width)))
    written += _pictures(everything, results.folder)
    _say(f"wrote {results.folder / CELLS}, {', '.join(path.name for path in written)}")
    if all(cell.error is not None for cell in ours):
        raise ConfigError(f"no cell could be measured: {ours[0].error}")
    return 0


def _pictures(cells: Sequence[Cell], folder: Path) -> list[Path]:
    if find_spec("matplotlib") is None:
        _say("no pictures: they need matplotlib, pip install 'hobbit-moe[pictures]'")
        return []
    if not any(cell.measures for cell in cells):
        return []
    page = folder / "report.html"
    drawn = draw_all(cells, folder)
    write_page(folder, page)
    return [*drawn, page]


def _say(line: str) -> None:
    print(f"hobbit: {line}", file=sys.stderr)
