"""The exported checkpoint computes what was trained."""

from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, models
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerFast

from benchmarks.training.bits_per_byte import WINDOW, bits_per_byte
from benchmarks.training.export import export, to_mixtral
from benchmarks.training.model import Model, Shape, top2_gates

SHAPE = Shape(vocabulary=64, hidden=16, width=8, layers=3, experts=4, heads=2, positions=32)


@pytest.fixture
def model() -> Model:
    torch.manual_seed(0)
    model = Model(SHAPE)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.2)
    return model


def test_logits_equal_those_of_mixtral(model: Model) -> None:
    mixtral = to_mixtral(model).eval()
    mixtral.set_experts_implementation("eager")
    tokens = torch.randint(0, 64, (3, 20))
    with torch.no_grad():
        torch.testing.assert_close(model(tokens), mixtral(tokens).logits, atol=1e-4, rtol=1e-4)


def test_a_saved_checkpoint_loads_as_trained(model: Model, tmp_path: Path) -> None:
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(models.BPE()), eos_token="<|doc|>", pad_token="<|pad|>"
    )
    tokenizer.save_pretrained(tmp_path / "tokenizer")
    export(model, tmp_path / "tokenizer", tmp_path / "out")
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path / "out", dtype=torch.float32)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(parameter.bfloat16())
        tokens = torch.randint(0, 64, (2, 20))
        torch.testing.assert_close(model(tokens), loaded(tokens).logits, atol=1e-4, rtol=1e-4)
    assert AutoTokenizer.from_pretrained(tmp_path / "out").eos_token == "<|doc|>"


def test_gates_are_the_renormalised_top_two() -> None:
    probabilities = torch.tensor([[0.1, 0.5, 0.1, 0.3], [0.4, 0.4, 0.1, 0.1]])
    gates, selected = top2_gates(probabilities)
    torch.testing.assert_close(gates, torch.tensor([[0, 0.625, 0, 0.375], [0.5, 0.5, 0, 0]]))
    assert selected.sum(-1).tolist() == [2, 2]


def test_bits_per_byte_of_an_even_model_is_the_vocabulary(model: Model) -> None:
    with torch.no_grad():
        model.head.zero_()
    ids = torch.randint(0, 64, (WINDOW * 2 + 7,))
    assert bits_per_byte(to_mixtral(model), ids, size=len(ids)) == pytest.approx(6.0)
