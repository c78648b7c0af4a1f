"""hobbit.load and hobbit.attach: an ordinary model, counted, and given back."""

from __future__ import annotations

import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, PreTrainedModel

import hobbit
from hobbit.cli.main import main
from hobbit.engine.anatomy import find_layers
from hobbit.engine.opening import open_model
from hobbit.errors import BudgetError, ConfigError, ModelError
from tests.engine.families import tiny_model
from tests.engine.runs import continue_greedily, prompts
from tests.engine.texts import letters

IDS, MASK = prompts(2, 20)
HALF = {"device": "cpu", "memory": "600KB", "context": 128}


def tokens(model: PreTrainedModel) -> torch.Tensor:
    return continue_greedily(model, IDS, MASK, 6)[0]


def test_a_loaded_model_is_an_ordinary_one(checkpoint: Path) -> None:
    plain: Any = AutoModelForCausalLM.from_pretrained(checkpoint, experts_implementation="eager")
    threads = torch.get_num_threads()
    model = hobbit.load(checkpoint, policy="hobbit_lossless", **HALF)
    with model.hobbit as entered:
        assert entered is model
        assert type(model) is type(plain)
        assert torch.equal(tokens(model), tokens(plain))
        assert model.hobbit.tokenizer("abc").input_ids == letters()("abc").input_ids
        assert torch.get_num_threads() == threads


def test_stats_count_what_was_done(checkpoint: Path) -> None:
    model = hobbit.load(checkpoint, policy="lru", **HALF)
    handle = model.hobbit
    ids, mask = prompts(1, 20)
    continue_greedily(model, ids, mask, 6)
    stats = handle.stats()
    assert (stats.policy, stats.precisions, stats.simulated) == ("lru", ("native",), False)
    assert (stats.prefill.tokens, stats.decode.tokens) == (20, 5)
    assert stats.decode.hits + stats.decode.misses == 5 * 3 * 3  # tokens, layers, experts of each
    assert stats.decode.loaded_bytes == stats.decode.misses * stats.memory.blob_bytes[0] > 0
    assert stats.decode.served == {"native": 1.0}
    assert stats.decode.tokens_per_second > 0
    assert stats.memory.capacity == 600_000
    assert stats.memory.context == 128
    handle.close()
    assert handle.closed
    assert handle.stats().decode.tokens == 5


def test_a_closed_model_is_empty_and_says_so(checkpoint: Path) -> None:
    model = hobbit.load(checkpoint, **HALF)
    model.hobbit.close()
    assert not hasattr(model, "hobbit")
    assert all(p.numel() == 0 for layer in find_layers(model) for p in layer.experts.parameters())
    with pytest.raises(ModelError, match="load it again"):
        model(IDS)


def test_detach_makes_a_loaded_model_whole(checkpoint: Path) -> None:
    plain = tiny_model("qwen3_moe")
    model = hobbit.load(checkpoint, **HALF)
    assert model.hobbit.detach()
    assert torch.equal(tokens(model), tokens(plain))


@pytest.mark.parametrize("precision", ["native", "int8"])
def test_an_attached_model_is_whole_again_afterwards(precision: str) -> None:
    model = tiny_model("gpt_oss")
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    expected = tokens(model)
    options = [f"precision.high={precision}", "precision.low=int4"]
    attached = hobbit.attach(model, policy="hobbit", tokenizer=letters(), options=options, **HALF)
    assert attached is model
    with model.hobbit:
        assert model.hobbit.stats().precisions == (precision, "int4")
        assert model.generation_config.disable_compile
        tokens(model)
        assert any("calibrated on the routing of bundled text" in note for note in model.hobbit.notes)
    after = model.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert torch.equal(tokens(model), expected)
    assert model.config._experts_implementation == "eager"
    assert not model.generation_config.disable_compile


def test_without_a_tokenizer_thresholds_are_fitted_to_random_tokens() -> None:
    model = hobbit.attach(tiny_model("qwen3_moe"), **HALF)
    with model.hobbit:
        assert any("random tokens" in note for note in model.hobbit.notes)


def test_an_error_within_gives_everything_back() -> None:
    model = tiny_model("qwen3_moe")
    expected = tokens(model)
    with pytest.raises(ZeroDivisionError), hobbit.attach(model, **HALF).hobbit:
        _ = 1 / 0
    assert torch.equal(tokens(model), expected)


def test_models_live_side_by_side(checkpoint: Path) -> None:
    expected = tokens(tiny_model("qwen3_moe"))
    one = hobbit.load(checkpoint, policy="lru", **HALF)
    other = hobbit.load(checkpoint, policy="hobbit_lossless", **HALF)
    third = hobbit.attach(tiny_model("mixtral"), policy="hobbit_lossless", **HALF)
    assert torch.equal(tokens(one), expected)
    assert torch.equal(tokens(other), expected)
    assert torch.equal(tokens(third), tokens(tiny_model("mixtral")))
    assert one.hobbit.stats().prefill.tokens == other.hobbit.stats().prefill.tokens
    one.hobbit.close()
    assert torch.equal(tokens(other), expected)
    other.hobbit.close()
    third.hobbit.close()


def test_options_are_words_of_the_command_line(checkpoint: Path) -> None:
    model = hobbit.load(checkpoint, options=["cache.low_share=0.3", "precision.low=int2"], **HALF)
    with model.hobbit:
        assert model.hobbit.stats().memory.low_share == 0.3
        assert model.hobbit.stats().precisions == ("native", "int2")


@pytest.mark.parametrize(
    ("given", "error", "reason"),
    [
        ({"policy": "hobit"}, ConfigError, "did you mean 'hobbit'"),
        ({"policy": "belady"}, ConfigError, "know the routing beforehand"),
        ({"device": "cdua"}, ConfigError, "no device is called 'cdua'"),
        ({"memory": "lots"}, ConfigError, "lots"),
        ({"memory": 0.5}, ConfigError, "memory.device=0.5"),
        ({"memory": "100KB"}, BudgetError, "memory.device=100 kB cannot hold"),
        ({"options": ["cache.low_shares=1"]}, ConfigError, "low_shares"),
    ],
)
def test_what_does_not_fit_is_one_line(
    checkpoint: Path, given: dict[str, Any], error: type[Exception], reason: str
) -> None:
    model = tiny_model("qwen3_moe")
    expected = tokens(model)
    for call in (lambda **kw: hobbit.load(checkpoint, **kw), lambda **kw: hobbit.attach(model, **kw)):
        with pytest.raises(error, match=reason) as caught:
            call(**HALF | given)
        assert "\n" not in str(caught.value)
    assert torch.equal(tokens(model), expected)
    assert not hasattr(model, "hobbit")


def test_a_model_is_attached_once() -> None:
    model = hobbit.attach(tiny_model("qwen3_moe"), **HALF)
    with model.hobbit, pytest.raises(ModelError, match="experts are taken"):
        hobbit.attach(model, **HALF)


def test_a_path_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no known model, no folder and no hub id"):
        hobbit.load(tmp_path / "nowhere")


def test_importing_is_light() -> None:
    code = "import sys, hobbit; dir(hobbit); hobbit.__version__; print({'torch', 'hydra'} & set(sys.modules))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "set()\n"


@pytest.mark.parametrize("kind", ["streamed", "bundle"])
def test_experts_may_stay_on_the_disk(
    kind: str, checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A large checkpoint is opened without its experts, a bundle always; a budget of host memory holds."""
    path, plain, host = checkpoint, tiny_model("qwen3_moe"), "memory.host=2MB"
    if kind == "bundle":
        path, host = tmp_path / "bundle", "memory.host=1MB"  # less than the experts
        assert main(["convert", f"model={checkpoint}", "task.precisions=[native]", f"out={path}"]) == 0
    else:
        monkeypatch.setattr("hobbit.engine.opening.open_model", partial(open_model, streamed=0))
    model = hobbit.load(path, policy="hobbit_lossless", options=[host], **HALF)
    assert torch.equal(tokens(model), tokens(plain))
    assert not model.hobbit.detach()
    with pytest.raises(ModelError, match="attach a runtime"):
        model(IDS)
    with hobbit.attach(model, policy="lru", options=[host], **HALF).hobbit:
        assert torch.equal(tokens(model), tokens(plain))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_a_model_attached_at_lossless12_is_whole_again_or_refused(dtype: torch.dtype) -> None:
    model = tiny_model("qwen3_moe", dtype)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    words = {"policy": "hobbit", "options": ["precision=lossless12"], **HALF}
    if dtype is torch.bfloat16:
        with hobbit.attach(model, **words).hobbit as attached:
            assert attached.hobbit.stats().precisions == ("lossless12", "int4")
            tokens(attached)
    else:
        with pytest.raises(ConfigError, match="lossless12 stores bfloat16, not float32"):
            hobbit.attach(model, **words)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
