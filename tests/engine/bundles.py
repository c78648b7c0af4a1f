"""Bundles of tiny checkpoints, converted as task=convert does."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hobbit.api import Context, Quantizer, Records
from hobbit.engine.bundling import Bundling
from hobbit.engine.conversion import Encoding
from hobbit.engine.geometry import measure_geometry
from hobbit.engine.reader import CheckpointReader
from hobbit.plugins import discover


class Uncounted:
    """Nobody watches the progress."""

    def keep(self, nbytes: int) -> None:
        return

    def advance(self, nbytes: int) -> None:
        return


def tiny_bundle(
    checkpoint: Path, folder: Path, precisions: Sequence[str] = ("native", "int4"), group_size: int = 64
) -> Path:
    """`checkpoint` as a bundle in `folder`, made with quanto."""
    with CheckpointReader(checkpoint) as reader:
        geometry = measure_geometry(reader.model, reader.layers, "tiny")
        context = Context(geometry, tuple(precisions), (), Records(reader.shape))
        component = discover().registry.get("quantizer", "quanto")(group_size=group_size)
        quantizer: Quantizer = component.build(context)
        layouts = [quantizer.layout(reader.specs(), precision) for precision in precisions]
        encoding = Encoding(quantizer, layouts, workers=1)
        options = {"group_size": group_size}
        Bundling(reader, encoding, folder, "tiny", "quanto", options).run(Uncounted())
    return folder
