"""What words become: the right components, with the user's choice above the preset's."""

from __future__ import annotations

from pathlib import Path

import pytest

from hobbit.api import Component
from hobbit.config.auto import AutoDevice
from hobbit.config.catalogue import GROUPS, choices
from hobbit.config.compose import compose, compose_overrides, policy_of, with_policy
from hobbit.config.words import to_overrides


def names(words: list[str]) -> dict[str, str]:
    config = compose(words)
    parts: list[Component] = [config.loader, config.prefetcher, config.cache, config.quantizer, config.router]
    return {part.kind: part.name for part in parts}


BASELINE = {
    "loader": "on_demand",
    "prefetcher": "none",
    "cache": "none",
    "quantizer": "quanto",
    "router": "passthrough",
}


def test_without_a_policy_it_is_the_baseline() -> None:
    assert names([]) == names(["policy=on_demand"]) == BASELINE
    assert isinstance(compose([]).device, AutoDevice)
    assert compose([]).geometry.name == "mixtral_8x7b"


@pytest.mark.parametrize("word", ["policy=hobbit", "+policy=hobbit", "++policy=hobbit"])
def test_a_policy_with_and_without_plus(word: str) -> None:
    chosen = {"loader": "mixed_precision", "prefetcher": "stacked_gate", "cache": "multidim"}
    assert names([word]) == BASELINE | chosen


@pytest.mark.parametrize("words", [["policy=hobbit", "cache=lru"], ["cache=lru", "+policy=hobbit"]])
def test_a_component_beside_a_policy_wins(words: list[str]) -> None:
    assert names(words) == names(["policy=hobbit"]) | {"cache": "lru"}
    assert compose([*words, "cache.low_share=0.3"]).cache.low_share == 0.3


def test_of_two_policies_the_last_counts() -> None:
    assert names(["policy=hobbit", "+policy=lru"]) == names(["policy=lru"])


def test_every_option_of_every_group_composes() -> None:
    """Several at once: the first of each group, then the second, ..."""
    options = {group: list(choices(group)) for group in GROUPS if group != "policy"}
    for index in range(max(map(len, options.values()))):
        compose([f"{group}={names[index % len(names)]}" for group, names in options.items()])


@pytest.mark.parametrize("policy", choices("policy"))
def test_every_preset_composes_and_says_what_it_is(policy: str) -> None:
    setup = compose([f"policy={policy}", "device=sim"]).setup()
    assert setup.device.name == "sim"
    assert choices("policy")[policy]


def test_auto_becomes_a_real_device_with_its_options() -> None:
    device = compose(["device.memory=3GB"]).setup().device
    assert device.name in ("cpu", "cuda", "mps")
    assert device.memory == "3GB"
    assert device.high == type(device)().high


def test_a_folder_as_model_brings_its_own_geometry(tmp_path: Path) -> None:
    config = compose([f"model={tmp_path}"])
    assert (config.model.location, config.geometry.name) == (str(tmp_path), "own")
    assert compose([f"model={tmp_path}", "geometry=olmoe"]).geometry.name == "olmoe"
    assert compose(["model=mistralai/Mixtral-8x7B-v0.1"]).model.location == "mistralai/Mixtral-8x7B-v0.1"


def test_the_bundled_model_lies_in_the_package() -> None:
    model = compose(["model=bundled"]).model
    assert model.bundled
    assert Path(model.location).parts[-3:] == ("hobbit", "bundled", "model")


def test_the_same_run_under_another_policy() -> None:
    of_policy = ["policy=hobbit", "cache=lru", "loader.t1=0.5"]
    words = [*of_policy, "seed=7", "device=sim", "prompt=${a}, 'b'", "precision=native"]
    overrides = to_overrides(words)
    assert policy_of(overrides) == "hobbit"
    assert policy_of([]) == "on_demand"
    other = with_policy(overrides, "lfu")
    assert (other.cache.name, other.loader.name, other.prefetcher.name) == ("lfu", "on_demand", "none")
    same = compose_overrides(overrides)
    assert (other.seed, other.prompt, other.device) == (same.seed, same.prompt, same.device)
    assert other.precision == same.precision
