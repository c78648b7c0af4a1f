"""Recording from plain transformers: the bits are those that the engine sees, the tokens those fed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers.trainers import BpeTrainer
from transformers import PreTrainedModel

from benchmarks.record_traces import Sampling, cut_prompts, header_of, record, routers_of
from benchmarks.training.corpus import DOCUMENT
from benchmarks.training.tokenizer import build
from hobbit.engine.attachment import Attachment
from hobbit.engine.resident import ResidentServer
from hobbit.engine.weights import expert_tensors
from hobbit.trace import Trace, TraceRecorder
from hobbit.trace.fingerprint import fingerprint_of
from tests.engine.models import tiny_model
from tests.trace.samples import assert_same

PROMPTS = [[5, 6, 7, 8, 9], [40, 41, 42]]
GENERATED = [6, 4]


@pytest.fixture(scope="module")
def model() -> PreTrainedModel:
    return tiny_model("mixtral", torch.bfloat16)


@pytest.fixture(scope="module")
def recorded(model: PreTrainedModel, tmp_path_factory: pytest.TempPathFactory) -> Trace:
    folder = tmp_path_factory.mktemp("tiny")
    model.save_pretrained(folder)
    sampling = Sampling(seed=3, never=2)
    return record(model, PROMPTS, GENERATED, header_of(model, folder, "books", "test", sampling), sampling)


def test_what_was_recorded(recorded: Trace) -> None:
    header = recorded.header
    assert (header.layers, header.experts, header.top_k, header.depth) == (4, 8, 2, 4)
    assert (header.dtype, header.domain, header.part, header.origin) == ("bfloat16", "books", "test", "live")
    assert recorded.token_ids[:5].tolist() == PROMPTS[0]
    assert recorded.token_ids[11:14].tolist() == PROMPTS[1]
    assert recorded.sequence_starts.tolist() == [0, 11]
    assert np.diff(recorded.pass_starts, append=18).tolist() == [5, *[1] * 6, 3, *[1] * 4]
    assert 2 not in recorded.token_ids


def test_the_engine_sees_the_same_bits(model: PreTrainedModel, recorded: Trace) -> None:
    server = ResidentServer(lambda layer, expert: expert_tensors(attachment.layers[layer], expert))
    recorder = TraceRecorder(recorded.header)
    with Attachment(model, server, None) as attachment, torch.inference_mode():
        attachment.look_ahead(recorded.header.depth)
        attachment.catch_logits()
        attachment.listen(recorder)
        cache = None
        for span in recorded.passes():
            ids = torch.from_numpy(recorded.token_ids[None, span.start : span.stop]).long()
            output = model(input_ids=ids, past_key_values=cache if span.context else None, use_cache=True)
            cache = output.past_key_values
    assert_same(recorder.trace(), recorded)


def test_look_ahead_is_the_later_router_on_this_input(model: PreTrainedModel, recorded: Trace) -> None:
    inputs: list[torch.Tensor] = []
    routers = routers_of(model)
    handle = routers[1].register_forward_hook(lambda _, args, answer: inputs.append(args[0]))
    with torch.inference_mode():
        model(input_ids=torch.tensor([PROMPTS[0]]))
        ahead = routers[3](inputs[0])[0]
    handle.remove()
    routing = recorded.routings(next(recorded.passes()))[1]
    assert routing.lookahead is not None
    assert np.array_equal(routing.lookahead[1], ahead.float().numpy())


def test_the_seed_decides(model: PreTrainedModel, recorded: Trace) -> None:
    again = record(model, PROMPTS, GENERATED, recorded.header, Sampling(seed=3, never=2))
    assert_same(again, recorded)
    other = record(model, PROMPTS, GENERATED, recorded.header, Sampling(seed=4, never=2))
    assert other.token_ids.tolist() != recorded.token_ids.tolist()


def test_prompts_are_disjoint_and_of_the_wanted_lengths() -> None:
    text = "".join(f"Line {i} says something.\n{DOCUMENT if i % 40 == 39 else ''}" for i in range(400))
    tokenizer = build()
    tokenizer.train_from_iterator([text], BpeTrainer(vocab_size=300, special_tokens=[DOCUMENT]))

    class Wrapped:
        def encode(self, piece: str, add_special_tokens: bool) -> list[int]:
            return tokenizer.encode(piece, add_special_tokens=add_special_tokens).ids

    prompts = cut_prompts(text, Wrapped(), [16, 30, 16], seed=1)
    assert [len(prompt) for prompt in prompts] == [16, 30, 16]
    places = [text.index(tokenizer.decode(prompt).strip()) for prompt in prompts]
    assert [place * 3 // len(text) for place in places] == [0, 1, 2]
    assert all(text[place - 1] in "\n>" for place in places)
    assert not any(tokenizer.token_to_id(DOCUMENT) in prompt for prompt in prompts)


def test_the_fingerprint_follows_the_weights(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"one")
    first = fingerprint_of(tmp_path)
    (tmp_path / "notes.txt").write_text("not part of it")
    assert fingerprint_of(tmp_path) == first
    (tmp_path / "model.safetensors").write_bytes(b"two")
    assert fingerprint_of(tmp_path) != first
