"""Tiny models to load and to attach."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.engine.families import tiny_checkpoint


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random Qwen3-MoE of 3 MoE layers, in a folder."""
    return tiny_checkpoint("qwen3_moe", tmp_path_factory.mktemp("library") / "tiny")
