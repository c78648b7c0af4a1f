"""Bundles made for tests."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hobbit_quantizers.quanto import QuantoQuantizer

from hobbit.api import Context, Quantizer, Records
from hobbit.engine.bundling import Bundling
from hobbit.engine.conversion import Encoding
from hobbit.engine.geometry import measure_geometry
from hobbit.engine.reader import CheckpointReader
from hobbit.store.bundle import BundleIndex

PRECISIONS = ("native", "int8", "int4", "int2")


class Counted:
    """Adds up what it is told."""

    def __init__(self) -> None:
        self.kept = self.done = 0

    def keep(self, nbytes: int) -> None:
        self.kept += nbytes

    def advance(self, nbytes: int) -> None:
        self.done += nbytes


def quantizer_of(reader: CheckpointReader, precisions: Sequence[str]) -> Quantizer:
    geometry = measure_geometry(reader.model, reader.layers, "tiny")
    return QuantoQuantizer().build(Context(geometry, tuple(precisions), (), Records(geometry.shape)))


def bundling(reader: CheckpointReader, out: Path, precisions: Sequence[str] = PRECISIONS) -> Bundling:
    quantizer = quantizer_of(reader, precisions)
    layouts = [quantizer.layout(reader.specs(), precision) for precision in precisions]
    return Bundling(
        reader, Encoding(quantizer, layouts, workers=2), out, "tiny", "quanto", {"group_size": 64}
    )


def convert(
    folder: Path, out: Path, precisions: Sequence[str] = PRECISIONS, counted: Counted | None = None
) -> BundleIndex:
    """The index of the bundle that the checkpoint in `folder` makes in `out`."""
    with CheckpointReader(folder, drop=True) as reader:
        return bundling(reader, out, precisions).run(counted or Counted())


def contents(folder: Path) -> dict[str, bytes]:
    """Every file in `folder` by its name there."""
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}
