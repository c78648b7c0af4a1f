"""A conversion that is killed at any moment is gone on with, and ends with the very same bytes."""

from __future__ import annotations

import os
import random
import signal
import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import torch

from hobbit.engine.reader import CheckpointReader
from tests.engine.conversions import Counted, bundling, contents, convert
from tests.engine.families import tiny_checkpoint

KILLS = 20
LEVELS = ("native", "int4")


def run_apart(folder: Path, out: Path, kill_after: float | None) -> tuple[int, float]:
    """What ended a conversion in a process of its own (0: nothing did), and its seconds from its first write.

    The process is forked off this one, which has imported everything; SIGKILL leaves it no time for anything.
    """
    began, begin = os.pipe()
    child = os.fork()
    if child == 0:
        convert_and_exit(folder, out, begin)
    os.close(begin)
    assert os.read(began, 1) == b"!"
    os.close(began)
    start = time.monotonic()
    if kill_after is not None:
        time.sleep(kill_after)
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    assert status in (0, signal.SIGKILL)
    return status, time.monotonic() - start


def convert_and_exit(folder: Path, out: Path, begin: int) -> NoReturn:
    """What the forked process does: on one thread, for those of the pools did not come along."""
    try:
        torch.set_num_threads(1)
        with CheckpointReader(folder, drop=True) as reader:
            work = bundling(reader, out, LEVELS)
            os.write(begin, b"!")
            work.run(Counted())
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def test_killed_at_random_moments(tmp_path: Path) -> None:
    folder = tiny_checkpoint("mixtral", tmp_path / "model")
    convert(folder, tmp_path / "undisturbed", LEVELS)
    expected = contents(tmp_path / "undisturbed")
    _, whole = run_apart(folder, tmp_path / "timed", None)
    assert contents(tmp_path / "timed") == expected
    rows = []
    for number, share in enumerate(moments(KILLS)):
        out = tmp_path / f"out{number}"
        status, _ = run_apart(folder, out, share * whole)
        rows.append(rows_written(out))
        if not out.exists():
            assert status == signal.SIGKILL
            convert(folder, out, LEVELS)
            assert not Path(f"{out}.partial").exists()
        assert contents(out) == expected
    assert len(set(rows)) > 3, f"the kills were all alike: {rows}"


def moments(count: int) -> Sequence[float]:
    """Shares of the whole time, one at random in each of `count` parts of it."""
    chance = random.Random(0)
    return [(part + chance.random()) / count for part in range(count)]


def rows_written(out: Path) -> int | None:
    """Lines of a killed conversion's journal; None where nothing was begun or all is done."""
    journal = Path(f"{out}.partial") / "journal"
    return len(journal.read_bytes().splitlines()) if journal.is_file() else None


def test_killed_again_and_again(tmp_path: Path) -> None:
    folder = tiny_checkpoint("granitemoe", tmp_path / "model")
    _, whole = run_apart(folder, tmp_path / "undisturbed", None)
    out = tmp_path / "out"
    for kills in range(100):
        run_apart(folder, out, whole * (0.1 + 0.05 * kills))
        if out.exists():
            break
    assert kills > 0
    assert contents(out) == contents(tmp_path / "undisturbed")
