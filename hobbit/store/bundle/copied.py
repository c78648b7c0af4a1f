"""The files of a checkpoint that a bundle takes over untouched: config, tokenizer, templates, licence."""

from __future__ import annotations

from pathlib import Path

_SUFFIXES = {".json", ".txt", ".model", ".md", ".jinja", ".tiktoken", ".vocab", ".bpe", ".yaml"}
_BARE = ("LICENSE", "LICENCE", "NOTICE", "COPYING", "USE_POLICY")
_INDICES = (".safetensors.index.json", ".bin.index.json")
_TEMPLATES = "additional_chat_templates"


def copied_files(folder: Path) -> tuple[str, ...]:
    """Names relative to `folder`, sorted. Weights and their indices are left out, and so is any code."""
    found = [file.name for file in folder.iterdir() if file.is_file() and _wanted(file)]
    found += [f"{_TEMPLATES}/{file.name}" for file in (folder / _TEMPLATES).glob("*.jinja")]
    return tuple(sorted(found))


def _wanted(file: Path) -> bool:
    if file.name.startswith(".") or file.name.endswith(_INDICES):
        return False
    return file.suffix.lower() in _SUFFIXES or file.name.upper().startswith(_BARE)
