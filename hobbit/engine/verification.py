"""Verification: every byte of a bundle against its checksums, and what it means to whoever runs it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from xxhash import xxh3_64_intdigest

from hobbit.engine.bundling import sum_of
from hobbit.engine.conversion import Counter, one_thread_each, scale_that_is_no_number
from hobbit.engine.reader import TensorFile
from hobbit.engine.reader.skeleton import Skeleton
from hobbit.errors import ModelError
from hobbit.store.bundle import BundleIndex, BundleLevel
from hobbit.types import RoutingShape


@dataclass(frozen=True, slots=True)
class Damage:
    """Something wrong in `file`. `precision`, `layer` and `expert` are None where it is no expert's blob."""

    file: str
    what: str
    precision: str | None = None
    layer: int | None = None
    expert: int | None = None


def bytes_of(folder: Path, index: BundleIndex) -> int:
    """Bytes that `find_damage` reads."""
    rows = index.shape.layers * index.shape.experts
    files = sum((folder / name).stat().st_size for name in (*index.weights, *index.files))
    return rows * sum(level.nbytes for level in index.levels) + files


def find_damage(folder: Path, index: BundleIndex, counter: Counter) -> Iterator[Damage]:
    """Read all of the bundle, and give what does not fit as it is found."""
    for name in (*index.weights, *index.files):
        yield from _file(folder, index, name)
        counter.advance((folder / name).stat().st_size)
    yield from _config(folder, index)
    with one_thread_each():
        for level in index.levels:
            yield from _blobs(folder, index, level, counter)


def _config(folder: Path, index: BundleIndex) -> Iterator[Damage]:
    """The index must speak of the model that the config describes, and the weights be all of the others."""
    try:
        skeleton = Skeleton.of(folder)
    except ModelError as error:
        yield Damage("config.json", str(error))
        return
    layers = skeleton.layers
    shape = RoutingShape(len(layers), layers[0].expert_count, layers[0].top_k)
    if shape != index.shape:
        yield Damage("hobbit.json", f"it speaks of {index.shape}, config.json of {shape}")
    experts = {f"{layer.name}.{name}" for layer in layers for name in layer.traits.names}
    tied: dict[str, str] = skeleton.model.all_tied_weights_keys
    stored = _stored(folder, index)
    if stored is None:
        return
    served = {name for pair in tied.items() if stored.intersection(pair) for name in pair}
    absent = sorted(skeleton.model.state_dict().keys() - experts - stored - served)
    if absent:
        yield Damage("hobbit.json", f"no file holds {len(absent)} weights of the model, such as {absent[0]}")


def _stored(folder: Path, index: BundleIndex) -> set[str] | None:
    """Names of the tensors in the weight files; None if one cannot be read, which has been said."""
    names: set[str] = set()
    for name in index.weights:
        try:
            file = TensorFile(folder / name)
        except ModelError:
            return None
        names.update(file.tensors)
        file.close()
    return names


def _file(folder: Path, index: BundleIndex, name: str) -> Iterator[Damage]:
    try:
        if name not in index.sums:
            yield Damage(name, "the index has no checksum of it")
        elif sum_of(folder / name) != index.sums[name]:
            yield Damage(name, "its checksum differs")
        if name in index.weights:
            TensorFile(folder / name).close()
    except OSError as error:
        yield Damage(name, f"it cannot be read: {error.strerror}")
    except ModelError as error:
        yield Damage(name, str(error))


def _blobs(folder: Path, index: BundleIndex, level: BundleLevel, counter: Counter) -> Iterator[Damage]:
    blob = torch.empty(level.nbytes, dtype=torch.uint8)
    for file in level.files:
        with (folder / file.name).open("rb", buffering=0) as opened:
            for row in range(file.first, file.first + file.rows):
                what = _wrong(opened.fileno(), level, row, blob)
                if what is not None:
                    yield Damage(file.name, what, level.precision, *divmod(row, index.shape.experts))
                counter.advance(level.nbytes)


def _wrong(handle: int, level: BundleLevel, row: int, blob: torch.Tensor) -> str | None:
    """What is wrong with a row, which is read into `blob`; None if nothing is."""
    _, start = level.place(row)
    what = None
    try:
        if os.preadv(handle, [blob.numpy().data], start) != level.nbytes:
            what = "the file ends before it"
        elif xxh3_64_intdigest(blob.numpy().data) != level.checksums[row]:
            what = "its checksum differs"
        elif (bad := scale_that_is_no_number(blob, level.layout)) is not None:
            what = f"the scales of {bad} are not all finite"
        if hasattr(os, "posix_fadvise"):
            os.posix_fadvise(handle, start, level.stride, os.POSIX_FADV_DONTNEED)
    except OSError as error:
        what = f"it cannot be read: {error.strerror}"
    return what
