"""transformers' own ways to generate give the same through an attached model as through the plain one.

On the CPU a served model does the plain one's arithmetic, so bfloat16 is compared. On a GPU it has kernels of
its own, which add up in another order: in bfloat16 that soon turns a token or a router's choice, in float32
(IEEE products in both) it does not. There, float32 is held to the plain model on the same GPU, and bfloat16
to the same kernels with every expert resident.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
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


THIRD = {"mixtral": 520, "qwen3_next": 860}
"""Kilobytes for all of a family's model but two thirds of its experts, and KV for 200 tokens, in bfloat16."""

Pair = tuple[PreTrainedModel, PreTrainedModel]


@dataclass(frozen=True)
class Place:
    """A device and the dtype compared there; `resident`: with the same kernels, not with the plain model."""

    device: str
    dtype: torch.dtype
    resident: bool = False

    def __str__(self) -> str:
        return f"{self.device}-{self.dtype}".replace("torch.", "")

    def model(self, family: str) -> PreTrainedModel:
        """A plain model where activations are."""
        return tiny_model(family, self.dtype).to(self.device)

    def attached(self, family: str, policy: str, kilobytes: int) -> PreTrainedModel:
        """The same served, with so much memory in bfloat16."""
        memory = f"{kilobytes * self.dtype.itemsize // 2}KB"
        model = tiny_model(family, self.dtype)
        return hobbit.attach(model, policy=policy, device=self.device, memory=memory, context=200)


GPU = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device is visible")]
CPU_BF16 = pytest.param(Place("cpu", torch.bfloat16), id="cpu")
GPU_FP32 = pytest.param(Place("cuda", torch.float32), marks=GPU, id="cuda-float32")
GPU_BF16 = pytest.param(Place("cuda", torch.bfloat16, resident=True), marks=GPU, id="cuda-bfloat16")


@pytest.fixture(scope="module")
def pairs() -> Iterator[Callable[[Place, str], Pair]]:
    """A model to compare with, and the same with memory for a third of its experts, made at first need."""
    made: dict[tuple[Place, str], Pair] = {}

    def pair_of(place: Place, family: str) -> Pair:
        if (place, family) not in made:
            right = place.attached(family, "all_resident", 10**5) if place.resident else place.model(family)
            # What transformers compiles by itself on a GPU takes a minute, and is another story.
            right.generation_config.disable_compile = True
            made[place, family] = right, place.attached(family, "hobbit_lossless", THIRD[family])
        return made[place, family]

    yield pair_of
    for right, served in made.values():
        assert served.hobbit.stats().decode.misses > 0
        served.hobbit.close()
        if hasattr(right, "hobbit"):
            right.hobbit.close()


def generate(model: PreTrainedModel, batch: int, **options: Any) -> torch.Tensor:
    ids, mask = (tensor.to(model.device) for tensor in prompts(batch, 40))
    torch.manual_seed(5)
    given = {"attention_mask": mask, "max_new_tokens": NEW, "do_sample": False, **options}
    return model.generate(ids, **given)  # type: ignore[operator, no-any-return]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("family", THIRD)
@pytest.mark.parametrize("place", [CPU_BF16, GPU_FP32, GPU_BF16])
def test_tokens_are_the_same(
    place: Place, family: str, way: str, pairs: Callable[[Place, str], Pair]
) -> None:
    batch, options = WAYS[way]
    if way in STATEFUL and family == "qwen3_next":
        pytest.skip("transformers refuses it for models with linear attention")
    right, served = pairs(place, family)
    assert torch.equal(generate(right, batch, **options), generate(served, batch, **options))


@pytest.fixture(params=[CPU_BF16, GPU_FP32])
def place(request: pytest.FixtureRequest) -> Place:
    found: Place = request.param
    return found


@pytest.fixture
def mixtrals(place: Place, pairs: Callable[[Place, str], Pair]) -> Pair:
    """A plain model and the same served."""
    return pairs(place, "mixtral")


@pytest.mark.parametrize("sample", [False, True])
def test_with_an_assistant(sample: bool, place: Place, mixtrals: Pair) -> None:
    """The assistant may be offloaded itself; drafts that are refused are rolled back."""
    plain, served = mixtrals
    helper = place.model("granitemoe")
    expected = generate(plain, 1, assistant_model=helper, do_sample=sample)
    assert torch.equal(generate(served, 1, assistant_model=helper, do_sample=sample), expected)
    with place.attached("granitemoe", "hobbit_lossless", 10**5).hobbit as assistant:
        drafted = generate(served, 1, assistant_model=assistant, do_sample=sample)
        assert assistant.hobbit.stats().prefill.tokens > 0
    assert torch.equal(drafted, expected)


@pytest.mark.parametrize("kind", [DynamicCache, StaticCache])
def test_a_cache_that_is_handed_on(kind: type[Any], mixtrals: Pair) -> None:
    """A second turn goes on with the KV cache of the first."""
    found = []
    for model in mixtrals:
        cache = kind(config=model.config, **({"max_cache_len": 100} if kind is StaticCache else {}))
        first = generate(model, 1, past_key_values=cache)
        again = torch.cat([first, prompts(1, 10)[0].to(model.device)], dim=1)
        found.append(model.generate(again, past_key_values=cache, max_new_tokens=NEW, do_sample=False))
    assert torch.equal(*found)


def test_a_streamer_in_another_thread(mixtrals: Pair) -> None:
    texts = []
    for model in mixtrals:
        streamer = TextIteratorStreamer(TOKENIZER, skip_prompt=True)
        thread = Thread(target=generate, args=(model, 1), kwargs={"streamer": streamer})
        thread.start()
        texts.append("".join(streamer))
        thread.join()
    assert texts[0] == texts[1] != ""


def test_stop_strings(mixtrals: Pair) -> None:
    plain, served = mixtrals
    whole = TOKENIZER.decode(generate(plain, 1)[0, 40:])
    stop = {"stop_strings": [whole[3]], "tokenizer": TOKENIZER}
    short = generate(served, 1, **stop)
    assert torch.equal(short, generate(plain, 1, **stop))
    assert TOKENIZER.decode(short[0, 40:]) == whole[: whole.index(whole[3]) + 1]


def test_a_chat_template(mixtrals: Pair) -> None:
    turns = [{"role": "user", "content": "Hi,you"}, {"role": "assistant", "content": "Hi"}]
    inputs = TOKENIZER.apply_chat_template(
        turns, chat_template=TEMPLATE, add_generation_prompt=True, return_tensors="pt", return_dict=True
    )
    inputs = inputs.to(mixtrals[0].device)
    answers = [model.generate(**inputs, max_new_tokens=NEW, do_sample=False) for model in mixtrals]
    assert torch.equal(*answers)


def test_nothing_is_compiled_by_itself(place: Place, mixtrals: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """Compiled code would run past the experts function, or call it with tensors that are none.

    transformers compiles the plain model for a static cache: on a GPU by itself, on the CPU if told so.
    """
    plain, served = mixtrals
    compiled: list[object] = []

    def call_as_it_is(model: PreTrainedModel, config: CompileConfig | None) -> Callable[..., Any]:
        compiled.append(model)
        return model.__call__

    monkeypatch.setattr(PreTrainedModel, "get_compiled_call", call_as_it_is)
    options: dict[str, Any] = {"cache_implementation": "static"}
    if place.device == "cpu":
        options["compile_config"] = everywhere = CompileConfig()
        everywhere._compile_all_devices = True
    before = torch._dynamo.utils.counters["stats"].get("unique_graphs", 0)
    tokens = generate(served, 1, **options)
    assert compiled == []
    assert torch._dynamo.utils.counters["stats"].get("unique_graphs", 0) == before
    assert torch.equal(generate(plain, 1, disable_compile=False, **options), tokens)
    assert compiled == [plain]


def test_a_batch_decodes(mixtrals: Pair) -> None:
    _, served = mixtrals
    before = served.hobbit.stats()
    generate(served, 4)
    after = served.hobbit.stats()
    assert after.prefill.tokens - before.prefill.tokens == 4 * 40
    assert after.decode.tokens - before.decode.tokens == 4 * (NEW - 1)
