"""Where a checkpoint lies: a folder, or a hub id that is downloaded once."""

from __future__ import annotations

from pathlib import Path

from hobbit.errors import ModelError

_WANTED = [
    "*.safetensors", "*.json", "*.txt", "*.model", "*.md", "*.jinja", "*.tiktoken", "LICENSE*", "LICENCE*",
    "NOTICE*",
]  # fmt: skip
"""What is downloaded: neither pickled weights nor code."""


def checkpoint_folder(location: str) -> Path:
    """The folder that `location` names, or the one that the hub's cache keeps for an id "org/name".

    Raises:
        ModelError: if there is no such folder, and the hub does not have it or cannot be reached.
    """
    folder = Path(location)
    if folder.is_dir():
        return folder
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(location, allow_patterns=_WANTED))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise ModelError(f"model={location} is no folder, and the hub does not give it ({reason})") from None
