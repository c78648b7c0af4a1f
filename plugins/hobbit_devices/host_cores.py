"""The cores that host experts may use."""

from __future__ import annotations

import os
from pathlib import Path

CPUS = Path("/sys/devices/system/cpu")

SPARED = 2
"""Cores left to the threads that drive the device: a team of threads is as slow as its slowest."""


def physical_cores(cpus: Path = CPUS) -> list[int]:
    """One logical CPU of each physical core that this process may run on, in ascending order."""
    allowed = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1)
    cores: dict[str, int] = {}
    for cpu in sorted(allowed):
        siblings = cpus / f"cpu{cpu}/topology/thread_siblings_list"
        cores.setdefault(siblings.read_text().strip() if siblings.exists() else str(cpu), cpu)
    return list(cores.values())


def team(threads: int, cores: list[int]) -> list[int]:
    """The cores for `threads` host threads (0: all but `SPARED`), the last ones, at least one."""
    count = threads or len(cores) - SPARED
    return cores[-max(1, min(count, len(cores))) :]


def settle_on(cores: list[int]) -> None:
    """Bind the calling thread, and the threads that its torch operations start, to these cores."""
    import torch

    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, cores)  # of this thread; its team, started later, inherits it
    torch.set_num_threads(len(cores))
