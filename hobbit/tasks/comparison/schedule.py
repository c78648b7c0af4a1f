"""The schedule: which cells run when, so that the quality of a policy is measured once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures.process import BrokenProcessPool
from itertools import groupby
from operator import attrgetter

from hobbit.errors import DeviceError
from hobbit.report.cell import Cell, CellQuality
from hobbit.tasks.comparison.executors import Submit
from hobbit.tasks.comparison.spec import CellSpec


def measured(specs: Sequence[CellSpec], known: Mapping[str, CellQuality], submit: Submit) -> Iterator[Cell]:
    """The cells of `specs` as they are done. `known` are qualities by unit, from a run before.

    Of every unit without one, the first cell runs alone; the others follow with the quality that it told.

    Raises:
        DeviceError: if a worker process dies.
    """
    waiting: dict[Future[Cell], list[CellSpec]] = {}  # a running cell, and those that follow it
    for unit, group in groupby(specs, attrgetter("unit")):
        cells = list(group)
        if unit in known:
            waiting |= {submit(spec, known[unit]): [] for spec in cells}
        else:
            waiting[submit(cells[0], None)] = cells[1:]
    while waiting:
        done, _ = wait(waiting, return_when=FIRST_COMPLETED)
        for future in done:
            cell = _result(future)
            waiting |= {submit(spec, cell.quality): [] for spec in waiting.pop(future)}
            yield cell


def _result(future: Future[Cell]) -> Cell:
    try:
        return future.result()
    except BrokenProcessPool:
        raise DeviceError(
            "a worker process died (of too little memory?); the same command goes on where it stopped, "
            "task.workers=1 takes the least memory"
        ) from None
