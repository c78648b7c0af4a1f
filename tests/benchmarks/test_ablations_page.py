"""The page of ablations holds every case, on both devices, with figures."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.ablations.__main__ import HEAD, PAGE
from benchmarks.ablations.cases import DEVICES, GROUPS, Group
from hobbit.config.compose import compose

TEXT = Path(PAGE).read_text(encoding="utf-8")


@pytest.mark.parametrize("group", GROUPS, ids=lambda group: group.name)
def test_every_case_has_its_row(group: Group) -> None:
    section = TEXT.partition(f"\n## {group.name.capitalize()}\n")[2].partition("\n## ")[0]
    rows = [
        [cell.strip() for cell in line.split("|")[1:-1]] for line in section.splitlines() if line[:1] == "|"
    ]
    assert [row[0] for row in rows[2:]] == list(group.cases)
    for row in rows[2:]:
        assert len(row) == 1 + len(DEVICES) * len(HEAD)
        assert all(float(cell) >= 0 for cell in row[1:])


@pytest.mark.parametrize("group", GROUPS, ids=lambda group: group.name)
def test_every_case_changes_one_thing_and_composes(group: Group) -> None:
    setups = [repr(compose([*words, f"device={DEVICES[0]}"]).setup()) for words in group.cases.values()]
    assert len(set(setups)) == len(setups)
