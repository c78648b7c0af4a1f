"""Executors: where cells are measured: processes of this machine, or a Ray cluster."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec

from hobbit.config.tasks import CompareTask, Executor
from hobbit.errors import ConfigError
from hobbit.report.cell import Cell, CellQuality
from hobbit.tasks.comparison.measure import measure_cell
from hobbit.tasks.comparison.spec import CellSpec

Submit = Callable[[CellSpec, CellQuality | None], "Future[Cell]"]
"""Have one cell measured somewhere."""


def check_executor(task: CompareTask) -> None:
    """Raise ConfigError if Ray is asked for and absent, or `workers` is negative."""
    if task.workers < 0:
        raise ConfigError(f"task.workers={task.workers} is negative; give a number, or 0 for one a CPU")
    if task.executor is Executor.ray and find_spec("ray") is None:
        raise ConfigError("task.executor=ray needs Ray: pip install 'hobbit-moe[ray]'")


@contextmanager
def executor_of(task: CompareTask, cells: int) -> Iterator[Submit]:
    """A way to have `cells` cells measured; what is left of it ends with the context, at once on an error."""
    if task.executor is Executor.ray:
        yield _ray(task.workers)
        return
    workers = min(task.workers or _cpus(), max(1, cells))
    pool = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), _prepare)
    before = set(multiprocessing.active_children())
    try:
        yield lambda spec, quality: pool.submit(measure_cell, spec, quality)
    except BaseException:
        for child in set(multiprocessing.active_children()) - before:
            child.terminate()
        raise
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _cpus() -> int:
    """CPUs that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _prepare() -> None:
    """A worker runs one thread, dies of Ctrl-C without a word, and does not outlive its parent."""
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = "1"  # before torch is imported, which the first lossy cell does
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _ray(workers: int) -> Submit:
    """Tasks of the cluster that RAY_ADDRESS names, else of a local one with so many workers."""
    ray = import_module("ray")
    if not ray.is_initialized():
        local = (
            {}
            if "RAY_ADDRESS" in os.environ
            else {"num_cpus": workers or _cpus(), "include_dashboard": False}
        )
        ray.init(log_to_driver=False, **local)
    remote = ray.remote(num_cpus=1, runtime_env={"env_vars": {"OMP_NUM_THREADS": "1"}})(measure_cell)
    return lambda spec, quality: remote.remote(spec, quality).future()
