"""A checkpoint by folder or hub id, with the network out of reach."""

from __future__ import annotations

from pathlib import Path

import pytest
from huggingface_hub import constants

from hobbit.engine.hub import checkpoint_folder
from hobbit.errors import ModelError


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def refusal(location: str) -> str:
    with pytest.raises(ModelError) as caught:
        checkpoint_folder(location)
    message = str(caught.value)
    assert message.startswith(f"model={location} ") and "\n" not in message
    return message


def test_a_folder_is_itself(tmp_path: Path) -> None:
    assert checkpoint_folder(tmp_path) == checkpoint_folder(str(tmp_path)) == tmp_path


def test_a_hub_id_that_was_downloaded_before(cache: Path) -> None:
    commit = "0123456789abcdef0123456789abcdef01234567"
    kept = cache / "models--org--name"
    (kept / "refs").mkdir(parents=True)
    (kept / "refs" / "main").write_text(commit)
    (kept / "snapshots" / commit).mkdir(parents=True)
    assert checkpoint_folder("org/name") == kept / "snapshots" / commit


def test_a_hub_id_that_cannot_be_had(cache: Path) -> None:
    assert "cannot be had from the hub" in refusal("org/name")


@pytest.mark.parametrize("location", ["./org", "a/b/c", "name", "/no/such/folder", "org/na me"])
def test_neither_folder_nor_hub_id(location: str) -> None:
    assert "does not exist" in refusal(location)
