"""Every family's experts and other tensors, read piece by piece, are those of from_pretrained bit for bit."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, Mxfp4Config, PreTrainedModel
from transformers.utils import is_accelerate_available

from hobbit.engine.anatomy import find_layers
from hobbit.engine.reader import CheckpointReader
from hobbit.engine.weights import expert_tensors
from tests.engine.families import FAMILIES, tiny_checkpoint
from tests.engine.reader.checkpoints import edit, fp8_checkpoint, fused_checkpoint, mxfp4_checkpoint

OTHER_DTYPES = [
    (family, dtype)
    for family in ("mixtral", "granitemoe", "gpt_oss", "deepseek_v3")
    for dtype in (torch.float32, torch.float16)
]


def load(folder: Path, **options: Any) -> PreTrainedModel:
    model: PreTrainedModel = AutoModelForCausalLM.from_pretrained(folder, dtype="auto", **options)
    return model


def assert_same(folder: Path, model: PreTrainedModel) -> None:
    """The reader of `folder` gives every tensor of `model`."""
    layers, state = find_layers(model), model.state_dict()
    experts = {f"{layer.name}.{name}" for layer in layers for name in layer.traits.names}
    with CheckpointReader(folder) as reader:
        assert [layer.name for layer in reader.layers] == [layer.name for layer in layers]
        for layer in layers:
            for expert in range(layer.expert_count):
                assert_equal(reader.expert(layer.index, expert), expert_tensors(layer, expert))
        others = dict(reader.weights())
        assert_equal(others, {name: state[name] for name in others})
        assert others.keys() | reader.missing == state.keys() - experts
        planned = {name: (tensor.shape, tensor.dtype) for name, tensor in reader.meta_weights().items()}
        assert planned == {name: (tensor.shape, tensor.dtype) for name, tensor in others.items()}
        some = list(others)[1::2]
        assert_equal(dict(reader.weights(some)), {name: others[name] for name in some})
        assert all(tied in model.all_tied_weights_keys for tied in reader.missing)
        specs = {name: (spec.shape, f"torch.{spec.dtype}") for name, spec in reader.specs().items()}
        first = expert_tensors(layers[0], 0)
        assert specs == {name: (tuple(t.shape), str(t.dtype)) for name, t in first.items()}
        assert not reader.ignored


def assert_equal(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> None:
    assert list(found) == list(expected)
    for name, tensor in expected.items():
        assert found[name].dtype == tensor.dtype, name
        assert found[name].is_contiguous() == tensor.is_contiguous(), name
        assert torch.equal(found[name], tensor), name


@pytest.mark.parametrize("family", FAMILIES)
def test_a_checkpoint_as_transformers_saves_it(family: str, tmp_path: Path) -> None:
    folder = tiny_checkpoint(family, tmp_path / "model", shard="200KB")
    assert_same(folder, load(folder))


@pytest.mark.parametrize("family", FAMILIES)
def test_a_checkpoint_with_its_experts_in_stacks(family: str, tmp_path: Path) -> None:
    folder = fused_checkpoint(family, tmp_path / "model")
    assert_same(folder, load(folder))


@pytest.mark.parametrize(("family", "dtype"), OTHER_DTYPES)
def test_other_dtypes(family: str, dtype: torch.dtype, tmp_path: Path) -> None:
    folder = tiny_checkpoint(family, tmp_path / "model", dtype)
    assert_same(folder, load(folder))


def test_a_dtype_that_is_asked_for(tmp_path: Path) -> None:
    folder = tiny_checkpoint("mixtral", tmp_path / "model")
    with CheckpointReader(folder, torch.float32) as reader, CheckpointReader(folder) as plain:
        found, stored = reader.expert(1, 2), plain.expert(1, 2)
        assert_equal(found, {name: tensor.float() for name, tensor in stored.items()})


def test_experts_of_four_bits_become_plain_weights(tmp_path: Path) -> None:
    folder = mxfp4_checkpoint(tmp_path / "model")
    assert_same(folder, load(folder, quantization_config=Mxfp4Config(dequantize=True)))


@pytest.mark.parametrize("family", ["qwen3_moe", "deepseek_v3"])
def test_weights_of_eight_bits_become_plain_weights(family: str, tmp_path: Path) -> None:
    folder = fp8_checkpoint(family, tmp_path / "model")
    plain = tiny_checkpoint(family, tmp_path / "plain")
    with CheckpointReader(folder) as reader, CheckpointReader(plain) as exact:
        others = dict(exact.weights())
        for name, tensor in reader.weights():
            assert_near(tensor, others[name])
        for name, tensor in reader.expert(1, 3).items():
            assert_near(tensor, exact.expert(1, 3)[name])


def assert_near(found: torch.Tensor, exact: torch.Tensor) -> None:
    """3 bits of mantissa: within 2^-4 of each value, and a subnormal's step of its block's largest."""
    assert found.dtype == exact.dtype
    wide, step = exact.float(), exact.float().abs().max() / 448 * 2**-9
    assert ((found.float() - wide).abs() <= wide.abs() * 2**-4 + step + 2**-8 * wide.abs()).all()


@pytest.mark.skipif(not is_accelerate_available(), reason="transformers reads these with accelerate alone")
def test_weights_of_eight_bits_as_transformers_reads_them(tmp_path: Path) -> None:
    folder = fp8_checkpoint("qwen3_moe", tmp_path / "model")
    assert_same(folder, load(folder))


@pytest.mark.parametrize("fused", [False, True])
def test_only_what_is_asked_for_is_read(fused: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make = fused_checkpoint if fused else tiny_checkpoint
    with CheckpointReader(make("qwen3_moe", tmp_path / "model"), drop=True) as reader:
        counted, preadv = [], os.preadv

        def counting(*arguments: Any) -> int:
            counted.append(preadv(*arguments))
            return counted[-1]

        monkeypatch.setattr(os, "preadv", counting)
        reader.expert(2, 5)
        assert sum(counted) == sum(spec.nbytes for spec in reader.specs().values())


def test_tensors_that_the_model_has_no_place_for_are_named(tmp_path: Path) -> None:
    def add(tensors: dict[str, torch.Tensor]) -> None:
        tensors["model.layers.9.extra.weight"] = torch.zeros(3)
        tensors["model.layers.0.self_attn.rotary_emb.inv_freq"] = torch.zeros(8)

    with CheckpointReader(edit(tiny_checkpoint("mixtral", tmp_path / "model"), add)) as reader:
        assert reader.ignored == ("model.layers.9.extra.weight",)
