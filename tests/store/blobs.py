"""Tiny bundles of random bytes: two levels, one of them of blobs that are no whole pages."""

from __future__ import annotations

from pathlib import Path

import torch
import xxhash

from hobbit.api import ExpertKey, RoutingShape
from hobbit.blob import BlobLayout, TensorSpec, stride_of
from hobbit.store import BlobDisk
from hobbit.store.bundle import BlobFile, BundleIndex, BundleLevel

SHAPE = RoutingShape(3, 4, 2)
ROWS_A_FILE = 5
TENSORS = (("up_proj", TensorSpec((64, 40), "bfloat16")), ("down_proj", TensorSpec((40, 64), "bfloat16")))
NATIVE = BlobLayout.pack("native", TENSORS, tuple((name, "data", spec) for name, spec in TENSORS))
SMALL = BlobLayout.pack("int8", TENSORS, (("up_proj", "data", TensorSpec((4096,), "uint8")),))
KEYS = [ExpertKey(layer, expert, level) for level in (0, 1) for layer in range(3) for expert in range(4)]


def random_blob(key: ExpertKey) -> torch.Tensor:
    generator = torch.Generator().manual_seed(100 * key.level + 10 * key.layer + key.expert)
    nbytes = (NATIVE, SMALL)[key.level].nbytes
    return torch.randint(0, 256, (nbytes,), dtype=torch.uint8, generator=generator)


def write_bundle(folder: Path) -> Path:
    """A bundle whose blobs are `random_blob`; what lies between them is not zero."""
    (folder / "experts").mkdir(parents=True)
    levels = tuple(_level(folder, number, layout) for number, layout in enumerate((NATIVE, SMALL)))
    BundleIndex("tiny", SHAPE, TENSORS, levels, (), ()).write(folder)
    return folder


def open_disk(folder: Path) -> BlobDisk:
    index = BundleIndex.read(folder)
    return BlobDisk(folder, index, index.levels)


def file_of(folder: Path, key: ExpertKey) -> tuple[Path, int]:
    """The file that holds a blob, and where it starts there."""
    index = BundleIndex.read(folder)
    file, offset = index.levels[key.level].place(index.row(key.layer, key.expert))
    return folder / file.name, offset


def damage(folder: Path, key: ExpertKey) -> None:
    """Flip a bit of a blob's last byte."""
    path, offset = file_of(folder, key)
    position = offset + (NATIVE, SMALL)[key.level].nbytes - 1
    with path.open("r+b") as file:
        file.seek(position)
        byte = file.read(1)[0]
        file.seek(position)
        file.write(bytes([byte ^ 4]))


def _level(folder: Path, number: int, layout: BlobLayout) -> BundleLevel:
    rows = SHAPE.layers * SHAPE.experts
    blobs = [random_blob(key) for key in KEYS if key.level == number]
    files = []
    for first in range(0, rows, ROWS_A_FILE):
        files.append(
            BlobFile(f"experts/{layout.precision}-{first}.bin", first, min(ROWS_A_FILE, rows - first))
        )
        with (folder / files[-1].name).open("wb") as file:
            for blob in blobs[first : first + ROWS_A_FILE]:
                file.write(blob.numpy().tobytes().ljust(stride_of(layout.nbytes), b"\xff"))
    checksums = tuple(xxhash.xxh3_64_intdigest(blob.numpy().data) for blob in blobs)
    return BundleLevel(layout, "quanto", {}, stride_of(layout.nbytes), tuple(files), checksums)
