"""How much memory this process may still take from the host."""

from __future__ import annotations

import os
from pathlib import Path

MEMINFO = Path("/proc/meminfo")
CGROUP = Path("/sys/fs/cgroup")


def free_host_bytes(meminfo: Path = MEMINFO, cgroup: Path = CGROUP) -> int:
    """Bytes of free or reclaimable memory, within the limit of the control group (version 2, then 1)."""
    free = _available(meminfo)
    for limit, usage in (
        (cgroup / "memory.max", cgroup / "memory.current"),
        (cgroup / "memory/memory.limit_in_bytes", cgroup / "memory/memory.usage_in_bytes"),
    ):
        total, used = _number(limit), _number(usage)
        if total is not None and used is not None:
            free = min(free, max(total - used, 0))
    return free


def _available(meminfo: Path) -> int:
    if meminfo.exists():
        for line in meminfo.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _number(path: Path) -> int | None:
    """The number in a file; None if there is none ("max": no limit)."""
    text = path.read_text().strip() if path.exists() else ""
    return int(text) if text.isdigit() else None
