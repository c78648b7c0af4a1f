"""task=convert: a checkpoint of any size, made into a bundle piece by piece."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from enum import Enum
from pathlib import Path
from typing import Any

import torch

from hobbit.api import BlobLayout, Context, Quantizer, QuantizerComponent, Records
from hobbit.config.schema import HobbitConfig
from hobbit.config.tasks import ConvertTask
from hobbit.engine.bundling import Bundling
from hobbit.engine.conversion import Encoding
from hobbit.engine.geometry import measure_geometry
from hobbit.engine.hub import checkpoint_folder
from hobbit.engine.reader import CheckpointReader
from hobbit.errors import ConfigError
from hobbit.report.bundle import emit_bundle
from hobbit.report.byte_progress import ByteProgress
from hobbit.report.progress import Progress
from hobbit.store.bundle import BundleIndex
from hobbit.tasks.checks import check_options

DTYPES = {"bf16": "bfloat16", "fp16": "float16", "fp32": "float32"}
"""Short names that a checkpoint's own dtype may be asked for by."""


def run(config: HobbitConfig, overrides: Sequence[str]) -> int:
    """Run the task; returns the exit code. Raises HobbitError for whatever the user can mend."""
    task = config.task
    assert isinstance(task, ConvertTask)
    check_options(replace(config, out=None))
    if config.out is None:
        raise ConfigError("task=convert needs a folder to write; give out=DIR")
    with Progress() as progress:
        progress.stage("looking at the checkpoint")
        folder = checkpoint_folder(config.model.location)
        if BundleIndex.is_bundle(folder):
            raise ConfigError(
                f"model={folder} is a bundle already; give the checkpoint that it was made from"
            )
        reader = CheckpointReader(folder, drop=True)
    with reader:
        bundling = _bundling(config, reader, task.precisions, Path(config.out))
        with ByteProgress("converting", bundling.nbytes) as bar:
            index = bundling.run(bar)
        emit_bundle(task.name, bundling.out, index, config.output, _notes(reader))
    return 0


def _bundling(
    config: HobbitConfig, reader: CheckpointReader, precisions: Sequence[str], out: Path
) -> Bundling:
    name = _name(config)
    geometry = measure_geometry(reader.model, reader.layers, name)
    context = Context(geometry, tuple(precisions), (), Records(geometry.shape), seed=config.seed)
    quantizer = config.quantizer.build(context)
    workers = config.threads or torch.get_num_threads()
    encoding = Encoding(quantizer, _layouts(quantizer, reader, precisions), workers)
    return Bundling(reader, encoding, out, name, config.quantizer.name, options_of(config.quantizer))


def _name(config: HobbitConfig) -> str:
    """A hub id as it is, a folder by its last part."""
    if config.model.bundled:
        return config.model.label
    path = Path(config.model.path)
    return path.resolve().name if path.is_dir() else config.model.path


def _layouts(quantizer: Quantizer, reader: CheckpointReader, precisions: Sequence[str]) -> list[BlobLayout]:
    """The layout of each precision, by the name that the quantizer gives it.

    Raises:
        ConfigError: if there is none, one is unknown or does not fit, or one is asked for twice.
    """
    if not precisions:
        raise ConfigError("task.precisions is empty; ask for at least one, such as native")
    layouts: list[BlobLayout] = []
    for asked in precisions:
        layout = quantizer.layout(reader.specs(), _known(asked, reader))
        if layout.precision in [held.precision for held in layouts]:
            raise ConfigError(
                f"task.precisions asks for {layout.precision} twice, the second time as {asked}"
            )
        layouts.append(layout)
    return layouts


def _known(asked: str, reader: CheckpointReader) -> str:
    name = DTYPES.get(asked, asked)
    own = next(iter(reader.specs().values())).dtype
    if name in DTYPES.values() and name != own:
        raise ConfigError(
            f"task.precisions={asked}: the checkpoint's experts are {own}, which {asked} would change; ask "
            "for native"
        )
    return name


def options_of(component: QuantizerComponent) -> dict[str, Any]:
    """The options that the quantizer was built with, as plain values."""
    return {k: value.value if isinstance(value, Enum) else value for k, value in asdict(component).items()}


def _notes(reader: CheckpointReader) -> list[str]:
    ignored = reader.ignored
    if not ignored:
        return []
    return [f"{len(ignored)} tensors have no place in the model and were left out, such as {ignored[0]}"]
