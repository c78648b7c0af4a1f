"""Conversations: history as templates write it, and KV caches that are kept, cut or dropped."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from transformers import PreTrainedModel

from hobbit.engine.conversation import Conversation
from hobbit.engine.generation import Generation, GenerationOptions, generate, generate_from
from hobbit.engine.kept_cache import KeptCache
from hobbit.errors import ConfigError
from tests.engine.families import tiny_model
from tests.engine.texts import letters

LETTERS = letters()
TURNS = letters()
TURNS.chat_template = (
    "{% for m in messages %}{{ '<' + m['role'][0] + '>' + m['content'] }}{% endfor %}"
    "{% if add_generation_prompt %}<a>{% endif %}"
)
OPTIONS = GenerationOptions(6)
Ran = Callable[[], list[int]]


def say(conversation: Conversation, text: str, stopped: Callable[[], bool] = lambda: False) -> Generation:
    return conversation.answer(text, OPTIONS, lambda: 0, None, stopped)


def listening(model: PreTrainedModel) -> list[int]:
    """The tokens of every pass from now on."""
    heard: list[int] = []
    model.model.register_forward_pre_hook(  # type: ignore[operator, union-attr]
        lambda _, args, kwargs: heard.append(kwargs["input_ids"].shape[1]), with_kwargs=True
    )
    return heard


@pytest.mark.parametrize("length", [None, 200])
def test_a_turn_runs_only_what_is_new(length: int | None) -> None:
    model = tiny_model("mixtral", torch.float32)
    heard = listening(model)
    conversation = Conversation(model, TURNS, length)
    first = say(conversation, "abc")
    assert heard == [9, 1, 1, 1, 1, 1]  # <u>abc<a>
    heard.clear()
    second = say(conversation, "de")
    assert second.prompt_ids[:15] == [*first.prompt_ids, *first.token_ids]
    assert heard[0] == len(second.prompt_ids) - 14  # the last token of the first answer had not run
    fresh = generate_from(model, TURNS, second.prompt_ids, OPTIONS)
    assert second.token_ids == fresh.token_ids
    assert [m["role"] for m in conversation.messages] == ["user", "assistant"] * 2
    assert conversation.messages[1]["content"] == first.text


@pytest.mark.parametrize(("family", "kept"), [("mixtral", 4), ("qwen3_next", 0), ("gpt_oss", 0)])
def test_a_prompt_that_parts_cuts_the_cache_or_starts_anew(family: str, kept: int) -> None:
    """Linear attention has no way back; a sliding window of 24 has none once it is full."""
    model = tiny_model(family, torch.float32)
    cache = KeptCache(model, None)
    ids = list(range(3, 43))
    generate_from(model, LETTERS, ids, OPTIONS, cache=cache.ready_for(ids))
    cache.ran([*ids, *range(60, 66)])
    other = [*ids[:4], *range(50, 60)]
    assert int(cache.ready_for(other).get_seq_length()) == kept
    got = generate_from(model, LETTERS, other, OPTIONS, cache=cache.ready_for(other))
    assert got.token_ids == generate_from(model, LETTERS, other, OPTIONS).token_ids


def test_an_answer_that_is_cut_short_is_kept() -> None:
    model = tiny_model("mixtral", torch.float32)
    conversation = Conversation(model, TURNS)
    asked = iter([False, False, True])
    short = say(conversation, "abc", lambda: next(asked))
    assert len(short.token_ids) == 3
    whole = say(Conversation(model, TURNS), "abc")
    assert whole.token_ids[:3] == short.token_ids
    assert conversation.messages[-1] == {"role": "assistant", "content": short.text}


def test_without_a_template_lines_say_who_speaks() -> None:
    conversation = Conversation(tiny_model("mixtral"), LETTERS)
    answer = say(conversation, "abc")
    assert LETTERS.decode(answer.prompt_ids).replace("<unk>", " ") == "User: abc Assistant:"


def test_a_failure_leaves_the_conversation_as_it_was() -> None:
    model = tiny_model("mixtral")
    conversation = Conversation(model, TURNS)
    say(conversation, "abc")
    with pytest.raises(ConfigError, match="context of 512"):
        say(conversation, "x" * 600)
    handle = model.model.layers[1].register_forward_pre_hook(lambda *_: 1 / 0)  # type: ignore[union-attr]
    with pytest.raises(ZeroDivisionError):
        say(conversation, "de")
    handle.remove()
    assert len(conversation.messages) == 2
    assert say(conversation, "de").token_ids
    conversation.reset()
    assert (conversation.turns, conversation.messages) == (0, [])


@pytest.mark.parametrize("family", ["mixtral", "qwen3_next", "gpt_oss"])
@pytest.mark.parametrize("chunk", [1, 7, 100])
def test_a_prompt_in_chunks_gives_the_same_tokens(family: str, chunk: int) -> None:
    model = tiny_model(family, torch.float32)
    heard = listening(model)
    prompt = "abcdefghijklmnopqrst"
    pieces = generate(model, LETTERS, prompt, GenerationOptions(6, prefill_chunk=chunk))
    assert heard[: -(-20 // chunk)] == [min(chunk, 20 - done) for done in range(0, 20, chunk)]
    assert pieces.token_ids == generate(model, LETTERS, prompt, GenerationOptions(6)).token_ids
