"""Training checkpoints: everything that the next step depends on, replaced in one rename."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.training.corpus import Batches
from benchmarks.training.model import Model
from benchmarks.training.optimizer import Optimizer


def save(
    path: Path,
    model: Model,
    optimizer: Optimizer,
    batches: Batches,
    step: int,
    total: int | None,
    seconds: float,
) -> None:
    """Write beside `path`, then rename, so that a kill leaves the old checkpoint or the new one.

    `total` is the length of the schedule, once fixed; `seconds` is the time trained so far.
    """
    temporary = path.with_suffix(".tmp")
    torch.save(
        {
            "model": model.state_dict(),
            "optimizer": optimizer.state(),
            "batches": batches.state(),
            "rng": _generators(),
            "step": step,
            "total": total,
            "seconds": seconds,
        },
        temporary,
    )
    temporary.replace(path)


def load(path: Path, model: Model, optimizer: Optimizer, batches: Batches) -> dict[str, Any]:
    """Restore what `save` wrote, in place, and return the whole record."""
    record: dict[str, Any] = torch.load(path, map_location="cpu")
    model.load_state_dict(record["model"])
    optimizer.restore(record["optimizer"])
    batches.restore(record["batches"])
    torch.set_rng_state(record["rng"][0])
    torch.cuda.set_rng_state_all(record["rng"][1:])
    return record


def _generators() -> list[Tensor]:
    """Return the states of the random generators: the CPU's, then one for each GPU."""
    return [torch.get_rng_state(), *torch.cuda.get_rng_state_all()]
