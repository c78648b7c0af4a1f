"""Presets and option files: made of overrides alone, and each builds what it promises."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest
from hobbit_baselines.belady import BeladyComponent
from hobbit_baselines.lru import LruComponent
from hobbit_baselines.next_gate import NextGateComponent
from hobbit_baselines.resident import ResidentComponent
from hobbit_paper.lcu import LcuComponent
from hobbit_paper.mixed_precision import MixedPrecisionComponent, RunMode
from hobbit_paper.multidim import MultidimComponent
from hobbit_paper.stacked_gate import StackedGateComponent

from hobbit.config.catalogue import conf_root
from hobbit.config.compose import compose
from hobbit.config.schema import HobbitConfig
from hobbit.testing import GEOMETRIES, Scene

POLICIES = sorted((Path(str(conf_root())) / "policy").glob("*.yaml"))


@cache
def preset(name: str) -> HobbitConfig:
    """What the preset chooses, with every option at its default."""
    return compose([f"policy={name}", "device=sim"])


@pytest.mark.parametrize("file", POLICIES, ids=lambda file: file.stem)
def test_a_preset_is_made_of_overrides(file: Path) -> None:
    package, description, defaults, *overrides = file.read_text(encoding="utf-8").splitlines()
    assert description.startswith("# ")  # what --help says of it
    assert (package, defaults) == ("# @package _global_", "defaults:")
    assert all(re.fullmatch(r"  - override /[a-z]+: [a-z0-9_]+", line) for line in overrides)


@pytest.mark.parametrize("file", POLICIES, ids=lambda file: file.stem)
def test_a_preset_can_be_built(file: Path) -> None:
    config = preset(file.stem)
    context = Scene(GEOMETRIES[0]).context()
    for component in (config.loader, config.prefetcher, config.cache, config.router):
        component.build(context)


def test_hobbit() -> None:
    config = preset("hobbit")
    assert isinstance(config.loader, MixedPrecisionComponent)
    assert isinstance(config.prefetcher, StackedGateComponent)
    assert isinstance(config.cache, MultidimComponent)
    assert config.loader.mode is RunMode.device
    assert config.prefetcher.depth == 3
    assert config.setup().block_bytes == 0  # a started copy runs to its end


def test_hobbit_lossless_loads_everything_high_in_the_checkpoints_dtype() -> None:
    config = preset("hobbit_lossless")
    assert isinstance(config.loader, MixedPrecisionComponent)
    assert config.loader.t1 == 1.0
    assert config.precision.high == "native"


def test_hobbit_cooperative_keeps_the_calibrated_thresholds() -> None:
    loaders = [preset(name).loader for name in ("hobbit", "hobbit_cooperative")]
    assert all(isinstance(loader, MixedPrecisionComponent) for loader in loaders)
    calibrated, cooperative = (vars(loader) for loader in loaders)
    assert cooperative == calibrated | {"mode": RunMode.cooperative}


def test_moe_apex_takes_int2_looks_deeper_and_interrupts_copies() -> None:
    config = preset("moe_apex")
    assert isinstance(config.cache, LcuComponent)
    assert isinstance(config.prefetcher, StackedGateComponent)
    assert config.prefetcher.depth == 4
    assert config.precision.low == "int2"
    assert config.transfers.block != "0"


def test_mixtral_offloading_keeps_lru_slots_per_layer_and_four_buffers() -> None:
    config = preset("mixtral_offloading")
    assert isinstance(config.cache, LruComponent)
    assert isinstance(config.prefetcher, NextGateComponent)
    assert config.cache.per_layer is True
    assert config.prefetcher.staging == 4


def test_the_bounds() -> None:
    assert isinstance(preset("belady").cache, BeladyComponent)
    assert isinstance(preset("all_resident").cache, ResidentComponent)


def test_an_option_of_a_preset_can_be_overridden() -> None:
    config = compose(["policy=hobbit", "device=sim", "loader.t1=0.5", "loader.mode=cooperative", "cache=lru"])
    assert isinstance(config.loader, MixedPrecisionComponent)
    assert (config.loader.t1, config.loader.mode) == (0.5, RunMode.cooperative)
    assert isinstance(config.cache, LruComponent)
    assert config.cache.per_layer is None
