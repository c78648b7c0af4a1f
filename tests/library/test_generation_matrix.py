"""transformers' own ways to generate give the same through an attached model as through the plain one."""

from __future__ import annotations

from collections.abc import Iterator
from threading import Thread
from typing import Any

import pytest
import torch
from transformers import CompileConfig, DynamicCache, PreTrainedModel, StaticCache, TextIteratorStreamer

import hobbit
from tests.engine.families import tiny_model
from tests.engine.runs import prompts
from tests.engine.texts import letters

NEW = 12
TOKENIZER = letters()
TEMPLATE = (
    "{% for message in messages %}{{ '<' + message['role'][0] + '>' + message['content'] }}{% endfor %}"
    "{% if add_generation_prompt %}<a>{% endif %}"
)

WAYS: dict[str, tuple[int, dict[str, Any]]] = {
    "greedy": (1, {}),
    "sampling": (1, {"do_sample": True, "temperature": 1.3, "top_k": 20, "top_p": 0.95}),
    "beam_search": (1, {"num_beams": 3}),
    "beam_sampling": (1, {"num_beams": 2, "do_sample": True}),
    "batch": (4, {}),
    "sampled_batch": (3, {"do_sample": True, "num_return_sequences": 2}),
    "beams_of_a_batch": (2, {"num_beams": 2, "num_return_sequences": 2}),
    "penalties": (1, {"repetition_penalty": 1.3, "no_repeat_ngram_size": 2}),
    "prompt_lookup": (1, {"prompt_lookup_num_tokens": 3}),
    "static_cache": (1, {"cache_implementation": "static"}),
    "static_cache_of_a_batch": (4, {"cache_implementation": "static"}),
    "dynamic_cache": (1, {"cache_implementation": "dynamic"}),
    "no_cache": (1, {"use_cache": False}),
    "prefill_in_chunks": (1, {"prefill_chunk_size": 16}),
}
"""Sequences, and what `generate` is told; greedy unless it says otherwise."""

STATEFUL = ("prompt_lookup",)
"""What transformers refuses for models with linear attention."""


@pytest.fixture(scope="module", params=["mixtral", "qwen3_next"])
def pair(request: pytest.FixtureRequest) -> Iterator[tuple[PreTrainedModel, PreTrainedModel]]:
    """A plain model and the same attached, with memory for a third of its experts."""
    plain, served = tiny_model(request.param), tiny_model(request.param)
    memory = {"mixtral": "520KB", "qwen3_next": "860KB"}[request.param]
    hobbit.attach(served, policy="hobbit_lossless", device="cpu", memory=memory, context=200)
    with served.hobbit:
        yield plain, served
        assert served.hobbit.stats().decode.misses > 0


def generate(model: PreTrainedModel, batch: int, **options: Any) -> torch.Tensor:
    ids, mask = prompts(batch, 40)
    torch.manual_seed(5)
    given = {"attention_mask": mask, "max_new_tokens": NEW, "do_sample": False, **options}
    return model.generate(ids, **given)  # type: ignore[operator, no-any-return]


@pytest.mark.parametrize("way", WAYS)
def test_tokens_are_the_same(way: str, pair: tuple[PreTrainedModel, PreTrainedModel]) -> None:
    plain, served = pair
    batch, options = WAYS[way]
    if way in STATEFUL and plain.config.model_type == "qwen3_next":
        pytest.skip("transformers refuses it for models with linear attention")
    assert torch.equal(generate(plain, batch, **options), generate(served, batch, **options))


@pytest.fixture(scope="module")
def mixtrals() -> Iterator[tuple[PreTrainedModel, PreTrainedModel]]:
    plain, served = tiny_model("mixtral"), tiny_model("mixtral")
    hobbit.attach(served, policy="hobbit_lossless", device="cpu", memory="520KB", context=200)
    with served.hobbit:
        yield plain, served


@pytest.mark.parametrize("sample", [False, True])
def test_with_an_assistant(sample: bool, mixtrals: tuple[PreTrainedModel, PreTrainedModel]) -> None:
    """The assistant may be offloaded itself; drafts that are refused are rolled back."""
    plain, served = mixtrals
    expected = generate(plain, 1, assistant_model=tiny_model("granitemoe"), do_sample=sample)
    assert torch.equal(
        generate(served, 1, assistant_model=tiny_model("granitemoe"), do_sample=sample), expected
    )
    with hobbit.attach(tiny_model("granitemoe"), policy="hobbit_lossless", device="cpu").hobbit as assistant:
        drafted = generate(served, 1, assistant_model=assistant, do_sample=sample)
        assert assistant.hobbit.stats().prefill.tokens > 0
    assert torch.equal(drafted, expected)


@pytest.mark.parametrize("kind", [DynamicCache, StaticCache])
def test_a_cache_that_is_handed_on(
    kind: type[Any], mixtrals: tuple[PreTrainedModel, PreTrainedModel]
) -> None:
    """A second turn goes on with the KV cache of the first."""
    found = []
    for model in mixtrals:
        cache = kind(config=model.config, **({"max_cache_len": 100} if kind is StaticCache else {}))
        first = generate(model, 1, past_key_values=cache)
        again = torch.cat([first, prompts(1, 10)[0]], dim=1)
        found.append(model.generate(again, past_key_values=cache, max_new_tokens=NEW, do_sample=False))
    assert torch.equal(*found)


def test_a_streamer_in_another_thread(mixtrals: tuple[PreTrainedModel, PreTrainedModel]) -> None:
    texts = []
    for model in mixtrals:
        streamer = TextIteratorStreamer(TOKENIZER, skip_prompt=True)
        thread = Thread(target=generate, args=(model, 1), kwargs={"streamer": streamer})
        thread.start()
        texts.append("".join(streamer))
        thread.join()
    assert texts[0] == texts[1] != ""


def test_stop_strings(mixtrals: tuple[PreTrainedModel, PreTrainedModel]) -> None:
    plain, served = mixtrals
    whole = TOKENIZER.decode(generate(plain, 1)[0, 40:])
    stop = {"stop_strings": [whole[3]], "tokenizer": TOKENIZER}
    short = generate(served, 1, **stop)
    assert torch.equal(short, generate(plain, 1, **stop))
    assert TOKENIZER.decode(short[0, 40:]) == whole[: whole.index(whole[3]) + 1]


def test_a_chat_template(mixtrals: tuple[PreTrainedModel, PreTrainedModel]) -> None:
    turns = [{"role": "user", "content": "Hi,you"}, {"role": "assistant", "content": "Hi"}]
    inputs = TOKENIZER.apply_chat_template(
        turns, chat_template=TEMPLATE, add_generation_prompt=True, return_tensors="pt", return_dict=True
    )
    plain, served = mixtrals
    answers = [model.generate(**inputs, max_new_tokens=NEW, do_sample=False) for model in (plain, served)]
    assert torch.equal(*answers)


def test_nothing_is_compiled_by_itself(mixtrals: tuple[PreTrainedModel, PreTrainedModel]) -> None:
    """Compiled code would run past the experts function, or call it with tensors that are none."""
    plain, served = mixtrals
    everywhere = CompileConfig()
    everywhere._compile_all_devices = True
    options = {"cache_implementation": "static", "compile_config": everywhere}
    before = torch._dynamo.utils.counters["stats"].get("unique_graphs", 0)
    assert torch.equal(generate(served, 1, **options), generate(plain, 1, cache_implementation="static"))
    assert torch._dynamo.utils.counters["stats"].get("unique_graphs", 0) == before


def test_a_batch_decodes(mixtrals: tuple[PreTrainedModel, PreTrainedModel]) -> None:
    _, served = mixtrals
    before = served.hobbit.stats()
    generate(served, 4)
    after = served.hobbit.stats()
    assert after.prefill.tokens - before.prefill.tokens == 4 * 40
    assert after.decode.tokens - before.decode.tokens == 4 * (NEW - 1)
