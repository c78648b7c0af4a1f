"""Checkpoints that are incomplete, damaged or beyond us: one line each, before anything is used."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from shutil import copy

import pytest
import torch

from hobbit.engine.reader import CheckpointReader
from hobbit.errors import ModelError
from tests.engine.families import tiny_checkpoint
from tests.engine.reader.checkpoints import SINGLE, edit, edit_config, fp8_checkpoint, mxfp4_checkpoint

INDEX = "model.safetensors.index.json"


def refusal(folder: Path, read: bool = False) -> str:
    """What is said when the checkpoint is opened, or (`read`) only when all of it is read."""
    with pytest.raises(ModelError) as caught:
        read_all(folder, read)
    line = str(caught.value)
    assert line.startswith(f"model={folder}: ") and "\n" not in line
    return line


def read_all(folder: Path, read: bool) -> None:
    with CheckpointReader(folder) as reader:
        assert read, "nothing was said when the checkpoint was opened"
        for layer in range(reader.shape.layers):
            for expert in range(reader.shape.experts):
                reader.expert(layer, expert)
        list(reader.weights())


@pytest.fixture
def sharded(tmp_path: Path) -> Path:
    return tiny_checkpoint("mixtral", tmp_path / "sharded", shard="200KB")


@pytest.fixture
def single(tmp_path: Path) -> Path:
    return tiny_checkpoint("mixtral", tmp_path / "single")


def shards(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.safetensors"))


def test_shards_missing_cut_or_too_many(sharded: Path) -> None:
    first, second, *_ = shards(sharded)
    extra = sharded / "model-00099-of-00099.safetensors"
    copy(first, extra)
    assert f"does not name the shard {extra.name}" in refusal(sharded)
    extra.unlink()
    whole = second.read_bytes()
    second.write_bytes(whole[:-100])
    assert f"{second.name} is not readable safetensors" in refusal(sharded)
    second.write_bytes(whole[:4])
    assert f"{second.name} is not readable safetensors" in refusal(sharded)
    second.unlink()
    assert f"lacks the shard {second.name}" in refusal(sharded)


def test_shards_of_two_checkpoints(sharded: Path) -> None:
    first, second, *_ = shards(sharded)
    copy(first, second)
    assert f"is both in {first.name} and in {second.name}" in refusal(sharded)


def test_an_index_that_lies(sharded: Path) -> None:
    index = json.loads((sharded / INDEX).read_text())
    shard = next(iter(index["weight_map"].values()))
    for entry, message in (
        (
            {"weight_map": index["weight_map"] | {"a.weight": shard}},
            "lack 1 tensors of the index, such as a.weight",
        ),
        ({"weight_map": index["weight_map"] | {"a.weight": "../a.safetensors"}}, "lies outside the folder"),
        ({"weight_map": 3}, "is not a safetensors index"),
        ([], "is not a safetensors index"),
    ):
        (sharded / INDEX).write_text(json.dumps(entry))
        assert message in refusal(sharded)


def test_pickled_weights(single: Path) -> None:
    (single / SINGLE).unlink()
    torch.save({}, single / "pytorch_model.bin")
    assert "pickled weights are not read" in refusal(single)


def _without(name: str) -> Callable[[dict[str, torch.Tensor]], None]:
    return lambda tensors: tensors.__delitem__(name)


def _as(
    name: str, change: Callable[[torch.Tensor], torch.Tensor]
) -> Callable[[dict[str, torch.Tensor]], None]:
    return lambda tensors: tensors.update({name: change(tensors[name])})


DOWN = "model.layers.2.block_sparse_moe.experts.5.w2.weight"
NORM = "model.layers.1.input_layernorm.weight"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_without(NORM), f"it lacks 1 weights, such as {NORM}"),
        (_without(DOWN), "hold 7 experts for model.layers.2.mlp.experts.down_proj"),
        (_as(NORM, lambda t: t[:-1].clone()), f"{NORM} has the shape [63], its config.json asks for [64]"),
        (_as(DOWN, lambda t: t[:-1].clone()), f"{DOWN} has the shape [63, 64]"),
        (_as(DOWN, lambda t: t.to(torch.int8)), f"{DOWN} is stored as int8 where its config.json"),
        (_as(DOWN, lambda t: t.to(torch.float8_e4m3fn)), f"{DOWN} is stored as float8_e4m3fn"),
        (_as("lm_head.weight", lambda t: t.T.contiguous()), "lm_head.weight has the shape [64, 97]"),
    ],
)  # fmt: skip
def test_weights_that_do_not_fit_the_config(
    single: Path, change: Callable[[dict[str, torch.Tensor]], None], message: str
) -> None:
    assert message in refusal(edit(single, change))


def test_a_config_of_another_model(single: Path) -> None:
    assert "hold 8 experts for model.layers.0.mlp.experts" in refusal(
        edit_config(single, num_local_experts=9)
    )
    edit_config(single, num_local_experts=8, intermediate_size=80)
    assert "cannot be done by experts" in refusal(single, read=True)
    edit_config(single, intermediate_size=64, num_hidden_layers=5)
    assert "weights, such as model.layers.4." in refusal(single)


def test_configs_that_cannot_be_used(single: Path) -> None:
    edit_config(single, quantization_config={"quant_method": "gptq", "bits": 4})
    assert "its weights are quantised with gptq, which is not undone here" in refusal(single)
    edit_config(single, quantization_config={"quant_method": "unheard_of"})
    assert "its weights are quantised with unheard_of" in refusal(single)
    edit_config(single, model_type="unheard_of", auto_map={"AutoConfig": "code.Config"})
    assert "its config.json cannot be used" in refusal(single)
    (single / "config.json").write_text("{")
    assert "its config.json cannot be used" in refusal(single)
    (single / "config.json").unlink()
    assert "it has no config.json" in refusal(single)


def test_scales_that_are_no_numbers(tmp_path: Path) -> None:
    def spoil(tensors: dict[str, torch.Tensor]) -> None:
        name = next(name for name in tensors if "experts" in name and "scale" in name)
        tensors[name].view(-1)[3] = 255 if tensors[name].dtype == torch.uint8 else torch.nan

    for folder in (mxfp4_checkpoint(tmp_path / "mxfp4"), fp8_checkpoint("qwen3_moe", tmp_path / "fp8")):
        assert "are not all finite; the file is damaged" in refusal(edit(folder, spoil), read=True)


def test_a_file_that_is_cut_while_it_is_read(single: Path) -> None:
    with CheckpointReader(single) as reader:
        (single / SINGLE).write_bytes((single / SINGLE).read_bytes()[:5000])
        with pytest.raises(ModelError, match="ends before its tensors do"):
            reader.expert(3, 7)
