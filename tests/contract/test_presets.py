"""Presets and option files: made of overrides alone, and each builds what it promises."""

from __future__ import annotations

import re
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
from hobbit.testing import check_component

POLICIES = sorted((Path(str(conf_root())) / "policy").glob("*.yaml"))


@pytest.mark.parametrize("file", POLICIES, ids=lambda file: file.stem)
def test_a_preset_is_made_of_overrides(file: Path) -> None:
    package, description, defaults, *overrides = file.read_text(encoding="utf-8").splitlines()
    assert description.startswith("# ")  # what --help says of it
    assert (package, defaults) == ("# @package _global_", "defaults:")
    assert all(re.fullmatch(r"  - override /[a-z]+: [a-z0-9_]+", line) for line in overrides)


@pytest.mark.parametrize("file", POLICIES, ids=lambda file: file.stem)
def test_a_preset_chooses_components_that_keep_their_contracts(file: Path) -> None:
    config = compose([f"policy={file.stem}", "device=sim"])
    check_component(config.loader)
    check_component(config.prefetcher)


def test_hobbit() -> None:
    config = compose(["policy=hobbit", "device=sim"])
    assert isinstance(config.loader, MixedPrecisionComponent)
    assert isinstance(config.prefetcher, StackedGateComponent)
    assert isinstance(config.cache, MultidimComponent)
    assert config.loader.mode is RunMode.device
    assert config.prefetcher.depth == 3
    assert config.transfers.block == "0"


def test_hobbit_lossless_loads_everything_high_in_the_checkpoints_dtype() -> None:
    config = compose(["policy=hobbit_lossless", "device=sim"])
    assert isinstance(config.loader, MixedPrecisionComponent)
    assert config.loader.t1 == 1.0
    assert config.precision.high == "native"


def test_hobbit_cooperative_keeps_the_calibrated_thresholds() -> None:
    loaders = [compose([f"policy={name}", "device=sim"]).loader for name in ("hobbit", "hobbit_cooperative")]
    assert all(isinstance(loader, MixedPrecisionComponent) for loader in loaders)
    calibrated, cooperative = (vars(loader) for loader in loaders)
    assert cooperative == calibrated | {"mode": RunMode.cooperative}


def test_moe_apex_takes_int2_looks_deeper_and_interrupts_copies() -> None:
    config = compose(["policy=moe_apex", "device=sim"])
    assert isinstance(config.cache, LcuComponent)
    assert isinstance(config.prefetcher, StackedGateComponent)
    assert config.prefetcher.depth == 4
    assert config.precision.low == "int2"
    assert config.transfers.block != "0"


def test_mixtral_offloading_keeps_lru_slots_per_layer_and_four_buffers() -> None:
    config = compose(["policy=mixtral_offloading", "device=sim"])
    assert isinstance(config.cache, LruComponent)
    assert isinstance(config.prefetcher, NextGateComponent)
    assert config.cache.per_layer is True
    assert config.prefetcher.staging == 4


def test_the_bounds() -> None:
    assert isinstance(compose(["policy=belady", "device=sim"]).cache, BeladyComponent)
    assert isinstance(compose(["policy=all_resident", "device=sim"]).cache, ResidentComponent)


def test_an_option_of_a_preset_can_be_overridden() -> None:
    config = compose(["policy=hobbit", "device=sim", "loader.t1=0.5", "loader.mode=cooperative", "cache=lru"])
    assert isinstance(config.loader, MixedPrecisionComponent)
    assert (config.loader.t1, config.loader.mode) == (0.5, RunMode.cooperative)
    assert isinstance(config.cache, LruComponent)
    assert config.cache.per_layer is None
