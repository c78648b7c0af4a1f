"""Checkpoints: load a transformers MoE from a folder, or say in one line why not."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils import logging as transformers_logging

from hobbit.engine.anatomy import find_layers
from hobbit.errors import ModelError

_INDEX = "model.safetensors.index.json"
_SINGLE = "model.safetensors"
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")


def load_checkpoint(path: str | Path, dtype: str = "auto") -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Model (eval mode, transformers' eager experts) and tokenizer of a checkpoint.

    `path` is a folder, read without the network, or else a hub id "org/name". `dtype` is a torch name or
    "auto", the checkpoint's own. Remote code is never run and pickled weights are never read.

    Raises:
        ModelError: if anything is missing, unreadable, or not a mixture of experts.
    """
    check_name(path)
    folder = Path(path)
    local = folder.is_dir()
    if local:
        check_folder(folder)
    options: dict[str, Any] = {"local_files_only": local, "trust_remote_code": False}
    with _quiet():
        return _model(path, dtype, options), _tokenizer(path, options)


def load_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """The tokenizer in `folder`, read without the network. Raises ModelError."""
    with _quiet():
        return _tokenizer(folder, {"local_files_only": True, "trust_remote_code": False})


def check_name(path: str | Path) -> None:
    """Raise ModelError unless `path` is a folder or looks like a hub id."""
    if not Path(path).is_dir() and (not _HUB_ID.fullmatch(str(path)) or str(path).startswith(".")):
        raise ModelError(f"model={path} does not exist; give a folder with a checkpoint or a hub id org/name")


def check_folder(folder: Path) -> None:
    """Raise ModelError unless the folder has a config and all its weights, with readable headers."""
    if not (folder / "config.json").is_file():
        raise ModelError(f"model={folder} has no config.json; it is not a transformers checkpoint")
    for shard in shards_of(folder):
        if not (folder / shard).is_file():
            raise ModelError(f"model={folder} lacks the shard {shard} that its index names; copy it again")
        try:
            with safe_open(folder / shard, framework="pt"):
                pass
        except (SafetensorError, OSError) as error:
            raise ModelError(
                f"model={folder}: {shard} is not readable safetensors ({_line(error)})"
            ) from None


def shards_of(folder: Path) -> list[str]:
    """Names of the safetensors files that make the checkpoint in `folder`. Raises ModelError."""
    index = folder / _INDEX
    if not index.is_file():
        if not (folder / _SINGLE).is_file():
            raise ModelError(f"model={folder} has no {_SINGLE} and no {_INDEX}; pickled weights are not read")
        return [_SINGLE]
    try:
        return sorted(set(json.loads(index.read_text())["weight_map"].values()))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(f"model={folder}: {_INDEX} is not a safetensors index ({_line(error)})") from None


def _tokenizer(path: str | Path, options: dict[str, Any]) -> PreTrainedTokenizerBase:
    try:
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(str(path), **options)
    # Tokenizer loaders fail in as many ways as there are tokenizers; none of them is the user's to read.
    except Exception as error:
        raise ModelError(f"model={path} has no usable tokenizer ({_line(error)})") from None
    return tokenizer


def _model(path: str | Path, dtype: str, options: dict[str, Any]) -> PreTrainedModel:
    loader: Any = AutoModelForCausalLM  # its own annotation does not know output_loading_info
    try:
        model, info = loader.from_pretrained(
            str(path), dtype=dtype, use_safetensors=True, experts_implementation="eager",
            output_loading_info=True, **options,
        )  # fmt: skip
    except (OSError, ValueError, KeyError, RuntimeError, ImportError) as error:
        raise ModelError(f"model={path} cannot be loaded ({_line(error)})") from None
    try:
        find_layers(model)
    except ModelError as error:
        raise ModelError(f"model={path}: {error}") from None
    missing = sorted(info["missing_keys"])
    if missing:
        raise ModelError(f"model={path} lacks {len(missing)} weights, such as {missing[0]}; copy it again")
    return model.eval()  # type: ignore[no-any-return]


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence transformers' progress bars and load reports: what matters of them becomes a ModelError."""
    logging: Any = transformers_logging  # it has no annotations
    bars, verbosity = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()


def _line(error: Exception) -> str:
    """The first line of a foreign error's message."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
