"""Checkpoints: load a transformers MoE from a folder, or say in one line why not."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils import logging as transformers_logging

from hobbit.engine.anatomy import find_layers
from hobbit.engine.reader.shards import Shards
from hobbit.errors import ModelError, first_line

_LOCAL = {"local_files_only": True, "trust_remote_code": False}


def load_checkpoint(
    folder: str | Path, dtype: str = "auto"
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Model (eval mode, transformers' eager experts) and tokenizer of a checkpoint, without the network.

    `dtype` is a torch name or "auto", the checkpoint's own. Remote code is never run and pickled weights are
    never read.

    Raises:
        ModelError: if anything is missing, unreadable, or not a mixture of experts.
    """
    folder = Path(folder)
    weight_bytes(folder)
    with _quiet():
        return _model(folder, dtype), _tokenizer(folder)


def load_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """The tokenizer in `folder`, read without the network. Raises ModelError."""
    with _quiet():
        return _tokenizer(folder)


def weight_bytes(folder: Path) -> int:
    """Bytes of the weight files in `folder`.

    Raises:
        ModelError: unless it has a config and all its weights, with readable headers.
    """
    if not folder.is_dir():
        raise ModelError(f"model={folder} is no folder; give one with a checkpoint")
    if not (folder / "config.json").is_file():
        raise ModelError(f"model={folder} has no config.json; it is not a transformers checkpoint")
    try:
        shards = Shards(folder)
    except ModelError as error:
        raise ModelError(f"model={folder}: {error}") from None
    nbytes = sum(file.path.stat().st_size for file in shards.files)
    shards.close()
    return nbytes


def _tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    try:
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(str(folder), **_LOCAL)
    # Tokenizer loaders fail in as many ways as there are tokenizers; none of them is the user's to read.
    except Exception as error:
        raise ModelError(f"model={folder} has no usable tokenizer ({first_line(error)})") from None
    return tokenizer


def _model(folder: Path, dtype: str) -> PreTrainedModel:
    loader: Any = AutoModelForCausalLM  # its own annotation does not know output_loading_info
    try:
        model, info = loader.from_pretrained(
            str(folder), dtype=dtype, use_safetensors=True, experts_implementation="eager",
            output_loading_info=True, **_LOCAL,
        )  # fmt: skip
    except (OSError, ValueError, KeyError, RuntimeError, ImportError) as error:
        raise ModelError(f"model={folder} cannot be loaded ({first_line(error)})") from None
    try:
        find_layers(model)
    except ModelError as error:
        raise ModelError(f"model={folder}: {error}") from None
    missing = sorted(info["missing_keys"])
    if missing:
        raise ModelError(f"model={folder} lacks {len(missing)} weights, such as {missing[0]}; copy it again")
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
