"""Where a checkpoint lies: a folder, or a hub id that is downloaded once."""

from __future__ import annotations

import re
from pathlib import Path

from huggingface_hub import snapshot_download

from hobbit.errors import ModelError, first_line

WANTED = (
    "*.safetensors", "*.json", "*.txt", "*.model", "*.md", "*.jinja", "*.tiktoken", "LICENSE*", "LICENCE*",
    "NOTICE*",
)  # fmt: skip
"""Weights, config, tokenizer, chat template, model card and licence; neither pickled weights nor code."""

_HUB_ID = re.compile(r"(?!\.)[\w.-]+/[\w.-]+")


def checkpoint_folder(location: str | Path) -> Path:
    """The folder that `location` names, or that of a hub id "org/name" in the local cache.

    Without the network it is what was downloaded before.

    Raises:
        ModelError: if there is no such folder, and the hub does not have it or cannot be reached.
    """
    folder = Path(location)
    if folder.is_dir():
        return folder
    name = str(location)
    if not _HUB_ID.fullmatch(name):
        raise ModelError(f"model={name} does not exist; give a folder with a checkpoint or a hub id org/name")
    try:
        return Path(snapshot_download(name, allow_patterns=list(WANTED)))
    # The hub, the network and the cache fail in many ways; none of them is the user's to read.
    except Exception as error:
        raise ModelError(
            f"model={name} is no folder here, and cannot be had from the hub ({first_line(error)}); check "
            "the name and the network, or give a folder"
        ) from None
