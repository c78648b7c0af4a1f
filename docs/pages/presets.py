"""The presets: what each chooses, and whether outputs stay those of the high precision."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from omegaconf import DictConfig, OmegaConf

from docs.pages.markdown import table
from docs.pages.yaml_files import yaml_files
from hobbit.assembly import assemble
from hobbit.config.catalogue import choices
from hobbit.config.compose import compose
from hobbit.report.scene import Scene

COLUMNS = ("loader", "prefetcher", "cache")

INTRODUCTION = """\
## Presets

`policy=name` chooses several components at once; each can still be swapped after it: `policy=hobbit
cache=lru`. Lossless means: the outputs of the model at the run's high precision, whatever is resident."""


def presets() -> str:
    """The section."""
    rows = [_row(file) for file in yaml_files("policy")]
    return f"{INTRODUCTION}\n\n{table(('preset', 'what', *COLUMNS, 'also', 'outputs'), rows)}"


def lossy(preset: str) -> bool:
    """Whether a run under the preset may change outputs, as its own report says."""
    config = compose([f"policy={preset}", "device=sim"])
    assembly = assemble(config.setup(), config.geometry, tokens=1, future=np.zeros(0, np.int64))
    try:
        return Scene.of(config, assembly, notes=()).lossy
    finally:
        assembly.close()


def _row(file: Path) -> tuple[str, ...]:
    chosen = overrides(file)
    main = [f"`{chosen.pop(group)}`" for group in COLUMNS]
    also = ", ".join(f"`{group}={name}`" for group, name in chosen.items())
    outputs = "lossy" if lossy(file.stem) else "lossless"
    return (f"`{file.stem}`", choices("policy")[file.stem], *main, also, outputs)


def overrides(file: Path) -> dict[str, str]:
    """The option that a preset chooses in each group."""
    content = OmegaConf.load(file)
    assert isinstance(content, DictConfig)
    pairs = (item for override in content.defaults for item in override.items())
    return {str(key).removeprefix("override /"): str(name) for key, name in pairs}
