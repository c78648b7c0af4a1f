"""Checkpoints that load, and one line for each that does not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from hobbit.engine.checkpoint import load_checkpoint
from hobbit.errors import ModelError
from tests.engine.models import tiny_model
from tests.engine.reader.checkpoints import edit
from tests.engine.runs import prompts
from tests.engine.texts import save_checkpoint

INDEX = "model.safetensors.index.json"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return save_checkpoint(tmp_path / "tiny", tiny_model(), shard="100KB")


def refusal(path: Path | str) -> str:
    with pytest.raises(ModelError) as caught:
        load_checkpoint(path)
    message = str(caught.value)
    assert "\n" not in message
    assert str(path) in message
    return message


def test_a_checkpoint_loads_as_it_was_saved(folder: Path) -> None:
    model, tokenizer = load_checkpoint(folder)
    ids, _ = prompts(1, 10)
    assert torch.equal(model(ids).logits, tiny_model()(ids).logits)
    assert model.dtype == torch.bfloat16
    assert not model.training
    assert len(tokenizer("abc")["input_ids"]) == 3
    assert load_checkpoint(folder, "float32")[0].dtype == torch.float32


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    assert "is no folder" in refusal(tmp_path / "nowhere")


def test_no_config(folder: Path) -> None:
    (folder / "config.json").unlink()
    assert "no config.json" in refusal(folder)


def test_a_shard_that_the_index_names(folder: Path) -> None:
    shard = sorted(folder.glob("*.safetensors"))[1]
    shard.unlink()
    assert f"lacks the shard {shard.name}" in refusal(folder)


def test_a_shard_cut_short(folder: Path) -> None:
    shard = min(folder.glob("*.safetensors"))
    shard.write_bytes(shard.read_bytes()[:-100])
    assert f"{shard.name} is not readable" in refusal(folder)


def test_an_index_that_is_none(folder: Path) -> None:
    (folder / INDEX).write_text("[]")
    assert "not a safetensors index" in refusal(folder)


def test_a_shard_that_the_index_does_not_name(folder: Path) -> None:
    index = json.loads((folder / INDEX).read_text())
    gone = index["weight_map"]["lm_head.weight"]
    index["weight_map"] = {name: shard for name, shard in index["weight_map"].items() if shard != gone}
    (folder / INDEX).write_text(json.dumps(index))
    assert f"does not name the shard {gone}" in refusal(folder)


def test_weights_that_no_shard_holds(tmp_path: Path) -> None:
    folder = save_checkpoint(tmp_path, tiny_model())
    edit(folder, lambda tensors: tensors.__delitem__("lm_head.weight"))
    assert "lacks 1 weights, such as lm_head.weight" in refusal(folder)


def test_pickled_weights(folder: Path) -> None:
    for file in [*folder.glob("*.safetensors"), folder / INDEX]:
        file.unlink()
    torch.save({}, folder / "pytorch_model.bin")
    assert "pickled weights are not read" in refusal(folder)


def test_no_tokenizer(folder: Path) -> None:
    for file in folder.glob("token*"):
        file.unlink()
    assert "no usable tokenizer" in refusal(folder)


def test_a_dense_model(tmp_path: Path) -> None:
    sizes = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    dense = LlamaForCausalLM(LlamaConfig(vocab_size=97, **sizes))
    assert "not a mixture of experts" in refusal(save_checkpoint(tmp_path / "dense", dense))


def test_an_architecture_that_nobody_knows(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text()) | {"model_type": "unheard_of"}
    (folder / "config.json").write_text(json.dumps(config))
    refusal(folder)
