"""A checkpoint by its hub id: found in the cache, or downloaded into it."""

from __future__ import annotations

from pathlib import Path

from huggingface_hub import snapshot_download

from hobbit.errors import ModelError

WANTED = ("*.safetensors", "*.json", "*.model", "*.txt", "*.jinja", "LICENSE*", "NOTICE*")
"""Weights, config, tokenizer, chat template and licence; neither pickled weights nor code."""


def snapshot(name: str) -> Path:
    """The folder of the hub's "org/name" in the local cache; without the network, what was downloaded before.

    Raises:
        ModelError: if it is neither there nor to be had.
    """
    try:
        return Path(snapshot_download(name, allow_patterns=list(WANTED)))
    # The hub, the network and the cache fail in many ways; none of them is the user's to read.
    except Exception as error:
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise ModelError(
            f"model={name} is no folder here, and cannot be had from the hub ({reason}); check the name and "
            "the network, or give a folder"
        ) from None
