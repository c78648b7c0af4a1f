"""The fingerprint of a checkpoint: which weights and tokenizer a trace was recorded from."""

from __future__ import annotations

import hashlib
from pathlib import Path

_PATTERNS = ("*.safetensors", "config.json", "tokenizer.json")


def fingerprint_of(folder: Path) -> str:
    """SHA-256, in hex, over names and contents of the folder's weights, config and tokenizer."""
    digest = hashlib.sha256()
    for path in sorted(path for pattern in _PATTERNS for path in folder.glob(pattern)):
        digest.update(path.name.encode() + b"\0")
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()
