"""A process whose memory is watched while it runs."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from typing import Any

INTERVAL_S = 0.02


@dataclass(frozen=True, slots=True)
class Watched:
    """`peak` bytes of RssAnon + RssShmem, sampled every INTERVAL_S; `seconds` of the whole process; `values`
    is its last line if that was JSON."""

    peak: int
    seconds: float
    values: dict[str, Any]


def watch(arguments: Sequence[str]) -> Watched:
    """Run `python arguments`, show what it prints, and watch its memory. Raises if it fails."""
    start = time.perf_counter()
    process = subprocess.Popen([sys.executable, *arguments], stdout=subprocess.PIPE, text=True)
    status = Path(f"/proc/{process.pid}/status")
    peak = 0
    with process:
        assert process.stdout is not None
        lines: list[str] = []
        reader = Thread(target=lambda: lines.extend(process.stdout or ()))
        reader.start()
        while process.poll() is None:
            peak = max(peak, _resident(status))
            time.sleep(INTERVAL_S)
        reader.join()
    *shown, last = [line for line in lines if line.strip()] or [""]
    for line in shown:
        print(line, end="")
    if process.returncode:
        raise SystemExit(f"{' '.join(arguments)} failed with exit code {process.returncode}\n{last}")
    values = json.loads(last) if last.startswith("{") else {}
    return Watched(peak, time.perf_counter() - start, values)


def _resident(status: Path) -> int:
    """RssAnon + RssShmem in bytes; 0 once the process is gone."""
    try:
        lines = status.read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith(("RssAnon:", "RssShmem:")))
