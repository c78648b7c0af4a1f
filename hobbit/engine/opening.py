"""open_model: a model by the folder or hub id that a user names, without experts that need not be held."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from hobbit.engine.checkpoint import load_checkpoint, load_tokenizer, weight_bytes
from hobbit.engine.hub import checkpoint_folder
from hobbit.engine.origin import BundleOrigin, CheckpointOrigin, remember_origin
from hobbit.engine.reader import CheckpointReader, TensorFile
from hobbit.engine.reader.skeleton import Skeleton
from hobbit.engine.unloaded import load_rest
from hobbit.errors import ModelError
from hobbit.store.bundle import BundleIndex

STREAMED = 2**30
"""Bytes of weights from which a checkpoint's experts are left on the disk until a store wants them. Smaller
ones are loaded whole: opening them again and again, as comparisons do, is quicker then."""


def open_model(path: str | Path, streamed: int = STREAMED) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Model (eval mode) and tokenizer of a bundle, of a checkpoint folder, or of a hub id "org/name".

    The experts of a bundle, and of a checkpoint of at least `streamed` bytes, never become parameters: the
    model has their shapes, and runs while a session serves them.

    Raises:
        ModelError: if anything is missing, unreadable, newer than this version, or not a mixture of experts.
    """
    folder = checkpoint_folder(path)
    if BundleIndex.is_bundle(folder):
        return _bundle(folder), load_tokenizer(folder)
    if weight_bytes(folder) < streamed:
        return load_checkpoint(folder)
    return _checkpoint(folder), load_tokenizer(folder)


def _bundle(folder: Path) -> PreTrainedModel:
    index = BundleIndex.read(folder)
    stored: torch.dtype = getattr(torch, index.tensors[0][1].dtype)
    try:
        skeleton = Skeleton.of(folder, None, stored)
        model = load_rest(skeleton.model, skeleton.layers, _tensors(folder, index), folder)
    except ModelError as error:
        raise ModelError(f"model={folder}: {error}") from None
    _check_shape(folder, index, skeleton)
    remember_origin(model, BundleOrigin(folder, index))
    return model


def _tensors(folder: Path, index: BundleIndex) -> Iterator[tuple[str, torch.Tensor]]:
    """Every tensor that is no expert's, one by one."""
    for name in index.weights:
        file = TensorFile(folder / name, drop=True)
        try:
            for key in file.tensors:
                yield key, file.read(key)
        finally:
            file.close()


def _check_shape(folder: Path, index: BundleIndex, skeleton: Skeleton) -> None:
    first = skeleton.layers[0]
    found = (len(skeleton.layers), first.expert_count)
    specs = {name: first.experts.get_parameter(name).shape[1:] for name in first.traits.names}
    if found != (index.shape.layers, index.shape.experts) or specs != {n: s.shape for n, s in index.tensors}:
        raise ModelError(
            f"model={folder}: its index speaks of {index.shape.layers} layers of {index.shape.experts} "
            f"experts, its config.json of {found[0]} of {found[1]}, or of other shapes; convert it again"
        )


def _checkpoint(folder: Path) -> PreTrainedModel:
    with CheckpointReader(folder, drop=True) as reader:
        shape, specs = reader.shape, reader.specs()
        try:
            model = load_rest(reader.model, reader.layers, reader.weights(), folder)
        except ModelError as error:
            message = str(error).removeprefix(f"model={folder}: ")
            raise ModelError(f"model={folder}: {message}") from None
    remember_origin(model, CheckpointOrigin(folder, None, shape, specs))
    return model
