"""Hydra's own flags: --cfg, --info, --multirun and the rest, on words that its grammar can read."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from hobbit.cli.single import run_task, spelt_out
from hobbit.config.catalogue import conf_root
from hobbit.config.compose import CONFIG_NAME, HYDRA_VERSION, compose_overrides, typed
from hobbit.config.failures import translated
from hobbit.config.store import register
from hobbit.config.words import to_overrides


def run_with_flags(words: Sequence[str]) -> int:
    """Let `hydra.main` parse the flags and run what they ask for; the worst exit code of all jobs."""
    words = spelt_out(words)
    ours = [word for word in words if not word.startswith("-") and (word.startswith("~") or "=" in word)]
    flags = [word for word in words if word not in ours]
    overrides = to_overrides(ours)
    if {"--cfg", "-c"} & set(flags):
        compose_overrides(overrides)  # printing would not notice what only the types object to
    codes = [0]

    def job(config: DictConfig) -> None:
        codes.append(run_task(typed(config), HydraConfig.get().overrides.task))

    register()
    os.environ["HYDRA_FULL_ERROR"] = "1"  # errors come out as exceptions, which `translated` shortens
    sys.argv = [sys.argv[0], *overrides, *flags]
    with translated():
        hydra.main(version_base=HYDRA_VERSION, config_path=str(conf_root()), config_name=CONFIG_NAME)(job)()
    return max(codes)
