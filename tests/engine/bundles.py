"""Bundles of tiny models, written blob by blob from what a checkpoint's reader gives."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import xxhash
from safetensors.torch import save_file

from hobbit.api import Context, Geometry, Quantizer, Records
from hobbit.blob import stride_of
from hobbit.engine.reader import CheckpointReader
from hobbit.plugins import discover
from hobbit.store.bundle import BlobFile, BundleIndex, BundleLevel

COPIED = ("*.json", "*.txt", "*.jinja")


def tiny_bundle(
    checkpoint: Path, folder: Path, precisions: Sequence[str] = ("native", "int4"), group_size: int = 64
) -> Path:
    """`checkpoint` as a bundle in `folder`, made with quanto."""
    (folder / "experts").mkdir(parents=True)
    with CheckpointReader(checkpoint) as reader:
        shape = reader.shape
        geometry = Geometry(layers=shape.layers, experts=shape.experts, top_k=shape.top_k)
        component = discover().registry.get("quantizer", "quanto")
        context = Context(geometry, tuple(precisions), (), Records(shape))
        quantizer: Quantizer = component(group_size=group_size).build(context)
        levels = tuple(_level(reader, quantizer, precision, folder) for precision in precisions)
        weights = {name: tensor.contiguous() for name, tensor in reader.weights()}
        save_file(weights, folder / "rest.safetensors", metadata={"format": "pt"})
        index = BundleIndex("tiny", shape, tuple(reader.specs().items()), levels, ("rest.safetensors",), ())
    for pattern in COPIED:
        for file in checkpoint.glob(pattern):
            if not file.name.endswith(".index.json"):
                shutil.copy(file, folder)
    index.write(folder)
    return folder


def _level(reader: CheckpointReader, quantizer: Quantizer, precision: str, folder: Path) -> BundleLevel:
    layout = quantizer.layout(reader.specs(), precision)
    file = BlobFile(f"experts/{precision}.bin", 0, reader.shape.layers * reader.shape.experts)
    checksums = []
    with (folder / file.name).open("wb") as out:
        for layer in range(reader.shape.layers):
            for expert in range(reader.shape.experts):
                blob = quantizer.encode(reader.expert(layer, expert), precision).numpy()
                checksums.append(xxhash.xxh3_64_intdigest(blob.data))
                out.write(blob.tobytes().ljust(stride_of(layout.nbytes), b"\0"))
    return BundleLevel(layout, "quanto", {}, stride_of(layout.nbytes), (file,), tuple(checksums))
