"""llama.cpp by its own llama-bench, where that is on PATH: whole layers of experts stay on the host."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from hobbit.bench.peers.gguf_file import write_gguf
from hobbit.bench.peers.peer import PeerCase
from hobbit.bench.row import PeerRow
from hobbit.errors import ConfigError
from hobbit.sizes import format_size

PROGRAM = "llama-bench"
NAME = "llama_bench"
SECONDS = 300
"""After which llama-bench is given up."""


def measure(case: PeerCase) -> PeerRow:
    """F16 weights in a GGUF file that is written for the call, `-ncmoe` of the layers that do not fit.

    Raises:
        ConfigError: if llama-bench fails, takes too long, or says something else than asked.
    """
    program = shutil.which(PROGRAM)
    if program is None:
        return PeerRow(NAME, how=f"not installed: no {PROGRAM} on PATH")
    if find_spec("gguf") is None:
        return PeerRow(NAME, how="not measured: pip install 'hobbit-moe[peers]' for the gguf package")
    with tempfile.TemporaryDirectory(prefix="hobbit-bench-") as folder:
        needed = case.geometry.non_expert_bytes + _expert_bytes(case)
        if shutil.disk_usage(folder).free < 1.05 * needed:
            return PeerRow(NAME, how=f"not measured: {folder} lacks {format_size(needed)} for the GGUF file")
        path = Path(folder) / "model.gguf"
        write_gguf(case.geometry, path, case.plan.prompt + case.plan.tokens)
        words = command(program, path, case)
        found = _run(words)
    return PeerRow(
        NAME,
        _speed(found, "n_gen", case.plan.tokens),
        _speed(found, "n_prompt", case.plan.prompt),
        f"{' '.join(words[3:])}; build {found[0].get('build_commit', '?')}, F16",
    )


def command(program: str, path: Path, case: PeerCase) -> list[str]:
    """The words of the call."""
    on_device = round(case.fraction * case.geometry.layers)
    cuda = case.backend.place.type == "cuda"
    return [
        program, "-m", str(path), "-p", str(case.plan.prompt), "-n", str(case.plan.tokens),
        "-ngl", "99" if cuda else "0", "-ncmoe", str(case.geometry.layers - on_device),
        "-t", str(os.cpu_count() or 1), "-r", str(case.plan.repeats), "-o", "json",
    ]  # fmt: skip


def _expert_bytes(case: PeerCase) -> int:
    geometry = case.geometry
    return 2 * geometry.layers * geometry.experts * geometry.expert_values


def _run(words: Sequence[str]) -> list[Mapping[str, Any]]:
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=SECONDS, check=True)
        found = json.loads(done.stdout)
    except subprocess.TimeoutExpired:
        raise ConfigError(
            f"{PROGRAM} took longer than {SECONDS} s and was stopped; ask for fewer tokens"
        ) from None
    except subprocess.CalledProcessError as error:
        last = (error.stderr or "").strip().splitlines()[-1:] or ["nothing on stderr"]
        raise ConfigError(f"{PROGRAM} failed with exit code {error.returncode}: {last[0]}") from None
    except ValueError:
        raise ConfigError(f"{PROGRAM} printed no JSON; use a llama.cpp that knows -o json") from None
    if not isinstance(found, list) or not found:
        raise ConfigError(f"{PROGRAM} printed no results; use a llama.cpp that knows -o json")
    return found


def _speed(found: Sequence[Mapping[str, Any]], kind: str, count: int) -> float:
    """Tokens/s of the test of `count` tokens of this kind alone."""
    other = "n_prompt" if kind == "n_gen" else "n_gen"
    for test in found:
        if test.get(kind) == count and not test.get(other):
            return float(test["avg_ts"])
    raise ConfigError(f"{PROGRAM} printed no test of {kind}={count}")
