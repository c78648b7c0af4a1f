"""A model opened without its experts is the one that from_pretrained loads, bit for bit."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import PreTrainedModel

from hobbit.engine.checkpoint import load_checkpoint
from hobbit.engine.opening import open_model
from hobbit.engine.origin import origin_of
from hobbit.engine.routing import resident_routing
from hobbit.errors import ModelError
from tests.engine.families import FAMILIES, tiny_checkpoint
from tests.engine.runs import continue_greedily, prompts
from tests.engine.sessions import session_of

GENERATED = 8


def held(model: PreTrainedModel) -> dict[str, torch.Tensor]:
    """All that a model holds beside its experts, plain attributes included."""
    found: dict[str, torch.Tensor] = dict(model.named_parameters(remove_duplicate=False))
    found |= dict(model.named_buffers())
    for path, module in model.named_modules():
        found |= {f"{path}.{n}": v for n, v in module.__dict__.items() if isinstance(v, torch.Tensor)}
    return {name: tensor for name, tensor in found.items() if ".experts." not in name or "shared" in name}


def check_same(opened: PreTrainedModel, loaded: PreTrainedModel) -> None:
    ours, theirs = held(opened), held(loaded)
    assert ours.keys() == theirs.keys()
    for name, tensor in theirs.items():
        assert ours[name].dtype == tensor.dtype, name
        assert torch.equal(ours[name], tensor), name
    for target, source in getattr(loaded, "all_tied_weights_keys", {}).items():
        shared = loaded.get_parameter(target) is loaded.get_parameter(source)
        assert (opened.get_parameter(target) is opened.get_parameter(source)) == shared
    assert opened.generation_config.to_dict() == loaded.generation_config.to_dict()
    assert not opened.training
    assert opened.dtype == loaded.dtype


@pytest.mark.parametrize("family", FAMILIES)
def test_a_streamed_checkpoint_is_what_from_pretrained_loads(family: str, tmp_path: Path) -> None:
    folder = tiny_checkpoint(family, tmp_path, shard="200KB")
    loaded, _ = load_checkpoint(folder)
    opened, tokenizer = open_model(folder, streamed=0)
    assert origin_of(opened) is not None
    assert tokenizer.vocab_size
    check_same(opened, loaded)
    ids, mask = prompts(2, 24)
    expected = continue_greedily(loaded, ids, mask, GENERATED)
    with session_of(opened, "hobbit_lossless", 0.5, 2):
        served = continue_greedily(opened, ids, mask, GENERATED)
    assert all(torch.equal(a, b) for a, b in zip(expected, served, strict=True))


def test_it_may_be_served_again_and_refuses_to_run_in_between(tmp_path: Path) -> None:
    opened, _ = open_model(tiny_checkpoint("olmoe", tmp_path), streamed=0)
    ids, mask = prompts(1, 24)
    found = []
    for _ in range(2):
        with session_of(opened, "lru", 0.5, 1) as session:
            found.append(continue_greedily(opened, ids, mask, GENERATED)[0])
        assert session.attachment.detach()
        with pytest.raises(ModelError, match="attach a runtime"):
            opened(ids)
    assert torch.equal(*found)


def test_its_routing_is_that_of_the_whole_model(tmp_path: Path) -> None:
    folder = tiny_checkpoint("qwen3_moe", tmp_path)
    ids = prompts(1, 24)[0][0].tolist()
    ours, theirs = (resident_routing(open_model(folder, streamed=limit)[0], ids) for limit in (0, 1 << 40))
    layers = zip(*(trace.routings(next(trace.passes())) for trace in (ours, theirs)), strict=True)
    for mine, other in layers:
        assert (mine.experts == other.experts).all()
        assert (mine.weights == other.weights).all()


def test_small_checkpoints_are_loaded_whole(tmp_path: Path) -> None:
    opened, _ = open_model(tiny_checkpoint("olmoe", tmp_path))
    assert origin_of(opened) is None
    assert not any(parameter.is_meta for parameter in opened.parameters())
