"""task=verify: every blob and file of a bundle against its checksums."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from hobbit.config.schema import HobbitConfig
from hobbit.config.tasks import VerifyTask
from hobbit.engine.verification import bytes_of, find_damage
from hobbit.errors import BundleError, ConfigError
from hobbit.report.bundle import emit_bundle
from hobbit.report.byte_progress import ByteProgress
from hobbit.store.bundle import BundleIndex
from hobbit.tasks.checks import check_options


def run(config: HobbitConfig, overrides: Sequence[str]) -> int:
    """Run the task; returns the exit code. Raises HobbitError for whatever the user can mend."""
    task = config.task
    assert isinstance(task, VerifyTask)
    check_options(replace(config, out=None))
    if config.out is not None:
        raise ConfigError("task=verify writes nothing; leave out= away")
    folder = Path(config.model.location)
    if not BundleIndex.is_bundle(folder):
        raise ConfigError(f"model={folder} is no bundle; make one of a checkpoint with task=convert")
    index = BundleIndex.read(folder)
    with ByteProgress("verifying", bytes_of(folder, index)) as bar:
        damage = list(find_damage(folder, index, bar))
    emit_bundle(task.name, folder, index, config.output, (), damage)
    if damage:
        others = f" and {len(damage) - 1} more" if len(damage) > 1 else ""
        raise BundleError(
            f"bundle {folder} is damaged: {damage[0].file}, {damage[0].what}{others}; convert the checkpoint "
            "again, or copy the bundle again"
        )
    return 0
