"""The geometries of conf/geometry weigh what their publishers and the papers say."""

from __future__ import annotations

from pathlib import Path

import pytest

from hobbit.config.compose import compose
from hobbit.geometry import Geometry

FOLDER = Path(__file__).parents[2] / "conf" / "geometry"

PUBLISHED_PARAMETERS = {
    "mixtral_8x7b": 46.7e9,  # arXiv 2401.04088
    "phi_moe": 41.9e9,  # model card of Phi-3.5-MoE-instruct
    "deepseek_v2_lite": 15.7e9,  # arXiv 2405.04434
    "qwen3_30b_a3b": 30.5e9,  # arXiv 2505.09388
    "olmoe": 6.9e9,  # arXiv 2409.02060
}


def load(name: str) -> Geometry:
    return compose([f"geometry={name}", "device=sim"]).geometry


def experts_gib(geometry: Geometry) -> float:
    return geometry.layers * geometry.experts * geometry.expert_values * 2 / 2**30


def test_every_geometry_is_checked() -> None:
    assert {path.stem for path in FOLDER.glob("*.yaml")} == set(PUBLISHED_PARAMETERS)


@pytest.mark.parametrize(("name", "published"), PUBLISHED_PARAMETERS.items())
def test_parameters_add_up_to_the_published_total(name: str, published: float) -> None:
    geometry = load(name)
    experts = geometry.layers * geometry.experts * geometry.expert_values
    assert geometry.non_expert_bytes / 2 + experts == pytest.approx(published, rel=0.02)
    assert geometry.name == name and geometry.source


@pytest.mark.parametrize(
    ("name", "total", "experts"),
    [("mixtral_8x7b", 87, 84), ("phi_moe", 78, 75), ("deepseek_v2_lite", 29, None)],
)
def test_gib_of_the_papers_table(name: str, total: float, experts: float | None) -> None:
    geometry = load(name)
    assert geometry.non_expert_bytes / 2**30 + experts_gib(geometry) == pytest.approx(total, rel=0.01)
    assert experts is None or experts_gib(geometry) == pytest.approx(experts, rel=0.01)


def test_mla_caches_its_latent_only() -> None:
    assert load("deepseek_v2_lite").kv_bytes_per_token == 27 * 576 * 2
    assert load("mixtral_8x7b").kv_bytes_per_token == 32 * 2 * 8 * 128 * 2


def test_deepseek_has_one_dense_layer_of_27() -> None:
    geometry = load("deepseek_v2_lite")
    assert geometry.layers + geometry.dense_layers == 27
    assert geometry.dense_layer_values == 13763072 + 2 * 2048 + 3 * 10944 * 2048
