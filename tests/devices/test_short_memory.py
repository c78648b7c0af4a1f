"""A device with less memory than it said: its slots shrink once, the run says so, and tokens stay."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hobbit_baselines.lru import LruComponent
from hobbit_devices import arena

from hobbit.errors import BudgetError, DeviceError
from tests.engine.models import tiny_model
from tests.engine.runs import Policy, continue_greedily, prompts, running


def limit(monkeypatch: pytest.MonkeyPatch, free: int) -> None:
    """Let every pool above `free` bytes fail, as a GPU does."""
    level = arena._Level

    def allocate(slots: int, blob: Any, *rest: Any) -> Any:
        if slots * blob.nbytes > free:
            raise RuntimeError("out of memory")
        return level(slots, blob, *rest)

    monkeypatch.setattr(arena, "_Level", allocate)
    monkeypatch.setattr(arena, "free_bytes", lambda device: free)


def tokens(slots: int) -> tuple[torch.Tensor, list[str], int]:
    with running(tiny_model(), Policy(cache=LruComponent(per_layer=False)), slots) as run:
        ids = continue_greedily(run.model, *prompts(1, 8), 4)[0]
        return ids, run.assembly.notes, run.assembly.plan.slots[0]


def test_slots_shrink_to_what_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    expected, _, slots = tokens(20)
    limit(monkeypatch, 10 * 18432)
    ids, notes, fewer = tokens(20)
    assert torch.equal(ids, expected)
    assert fewer == 9 < slots, "95 % of what is free"
    assert any(
        "cannot allocate" in note and "went on with 166 kB, all that is free" in note for note in notes
    )


@pytest.mark.parametrize(("free", "kind"), [(0, DeviceError), (18432, BudgetError)])
def test_too_little_is_one_clear_line(
    free: int, kind: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    limit(monkeypatch, free)
    with pytest.raises(kind, match=r"memory\.device"):
        tokens(20)
