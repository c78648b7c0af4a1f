"""The generated pages are what the code says today, and leave nothing out."""

from __future__ import annotations

import pytest

from docs.generate import FOLDER, PAGES
from docs.pages.components import own_components
from docs.pages.yaml_files import yaml_files
from hobbit.config.catalogue import GROUPS


@pytest.mark.parametrize("name", PAGES)
def test_regenerating_gives_the_committed_file(name: str) -> None:
    made = PAGES[name]()
    assert made == (FOLDER / name).read_text(encoding="utf-8"), "run `python -m docs.generate`"


def test_every_component_has_its_section() -> None:
    text = (FOLDER / "components.md").read_text(encoding="utf-8")
    for entry in own_components():
        assert f"\n### {entry.component.kind}/{entry.component.name}\n" in text


@pytest.mark.parametrize("group", GROUPS)
def test_every_yaml_file_has_its_row(group: str) -> None:
    rows = (FOLDER / "components.md").read_text(encoding="utf-8").splitlines()
    for file in yaml_files(group):
        assert any(row.startswith("|") and f"`{file.stem}`" in row.split("|")[1] for row in rows)
