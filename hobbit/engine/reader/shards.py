"""Shards: the safetensors files of a checkpoint as one set of tensors."""

from __future__ import annotations

import json
import re
from pathlib import Path

import torch

from hobbit.engine.reader.tensor_file import Stored, TensorFile
from hobbit.errors import ModelError, first_line

INDEX = "model.safetensors.index.json"
SINGLE = "model.safetensors"
_SHARD = re.compile(r"model-\d+-of-\d+\.safetensors")


class Shards:
    """Every tensor of the checkpoint in `folder` by its name in the files. Close it after use.

    Raises:
        ModelError: if a shard is missing, cut short or one too many, or the index does not fit them.
    """

    def __init__(self, folder: Path, drop: bool = False) -> None:
        self.files: list[TensorFile] = []
        self._where: dict[str, TensorFile] = {}
        try:
            for name in shard_names(folder):
                if not (folder / name).is_file():
                    raise ModelError(f"it lacks the shard {name} that its index names; copy it again")
                self._add(TensorFile(folder / name, drop))
            self._check_index(folder)
        except BaseException:
            self.close()
            raise

    @property
    def names(self) -> list[str]:
        """The names of all tensors."""
        return list(self._where)

    def __contains__(self, name: str) -> bool:
        return name in self._where

    def __getitem__(self, name: str) -> Stored:
        """Shape, dtype and place of a tensor."""
        return self._where[name].tensors[name]

    def read(self, name: str, row: int | None = None) -> torch.Tensor:
        """See `TensorFile.read`."""
        return self._where[name].read(name, row)

    def close(self) -> None:
        """Close the files."""
        for file in self.files:
            file.close()
        self.files.clear()

    def _add(self, file: TensorFile) -> None:
        self.files.append(file)
        for name in file.tensors:
            if name in self._where:
                raise ModelError(
                    f"{name} is both in {self._where[name].path.name} and in {file.path.name}; shards of two "
                    "checkpoints are mixed, copy it again"
                )
            self._where[name] = file

    def _check_index(self, folder: Path) -> None:
        """What the index promises has to be there."""
        if not (folder / INDEX).is_file():
            return
        lacking = sorted(weight_map(folder).keys() - self._where.keys())
        if lacking:
            raise ModelError(
                f"its shards lack {len(lacking)} tensors of the index, such as {lacking[0]}; copy it again"
            )


def shard_names(folder: Path) -> list[str]:
    """The weight files of a checkpoint: those that its index names, or the only one.

    Raises:
        ModelError: if there is none, the index is none, or a shard lies beside it that it does not name.
    """
    if not (folder / INDEX).is_file():
        if not (folder / SINGLE).is_file():
            raise ModelError(f"it has no {SINGLE} and no {INDEX}; pickled weights are not read")
        return [SINGLE]
    named = set(weight_map(folder).values())
    extra = sorted(
        file.name for file in folder.iterdir() if _SHARD.fullmatch(file.name) and file.name not in named
    )
    if extra:
        raise ModelError(
            f"its index does not name the shard {extra[0]}; two checkpoints are mixed, copy it again"
        )
    return sorted(named)


def weight_map(folder: Path) -> dict[str, str]:
    """The index of a sharded checkpoint: the shard of every tensor.

    Raises:
        ModelError: if it is malformed, or names a file outside the folder.
    """
    try:
        shards: dict[str, str] = dict(json.loads((folder / INDEX).read_bytes())["weight_map"])
        outside = next((name for name in shards.values() if Path(name).name != name), None)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(f"{INDEX} is not a safetensors index ({first_line(error)})") from None
    if outside is not None:
        raise ModelError(f"its index names {outside!r}, which lies outside the folder; do not trust it")
    return shards
