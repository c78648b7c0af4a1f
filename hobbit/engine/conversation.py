"""Conversation: turns of talk with a model, written as its chat template wants them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from hobbit.engine.generation import Clock, Generation, GenerationOptions, generate_from
from hobbit.engine.kept_cache import KeptCache
from hobbit.engine.tokens import check_length, token_ids

PLAIN_TEMPLATE = (
    "{% for message in messages %}{{ message['role'].capitalize() + ': ' + message['content'] + '\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}"
)
"""For models without a template of their own: lines that begin with who speaks."""

PLAIN_STOP = "\nUser:"
"""Where such a model begins to speak for the other side."""


class Conversation:
    """The messages so far, and the KV cache that they left.

    `length`: tokens of a static KV cache (None: it grows). `seed` is that of the first answer; each later one
    has the next.
    """

    def __init__(
        self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, length: int | None = None
    ) -> None:
        self.messages: list[dict[str, str]] = []
        self._model = model
        self._tokenizer = tokenizer
        self._plain = getattr(tokenizer, "chat_template", None) is None
        self._cache = KeptCache(model, length)

    @property
    def hidden(self) -> str | None:
        """Text that ends an answer and is no part of it; None where the template sees to that."""
        return PLAIN_STOP if self._plain else None

    @property
    def turns(self) -> int:
        """Answers so far."""
        return sum(message["role"] == "assistant" for message in self.messages)

    def answer(
        self,
        text: str,
        options: GenerationOptions,
        clock: Clock,
        on_text: Callable[[str], None] | None,
        stopped: Callable[[], bool],
    ) -> Generation:
        """Say `text` and give the answer, which is kept even if `stopped` cut it short.

        Raises:
            ConfigError: if the conversation has grown beyond the model's context; it is as before then.
        """
        messages = [*self.messages, {"role": "user", "content": text}]
        ids = self._written(messages)
        check_length(ids, self._model, options.max_new_tokens)
        options = replace(options, seed=options.seed + self.turns, stop=self._stops(options))
        try:
            generation = generate_from(
                self._model,
                self._tokenizer,
                ids,
                options,
                clock,
                on_text,
                self._cache.ready_for(ids),
                stopped,
            )
        except BaseException:
            self._cache.forget()
            raise
        self._cache.ran([*ids, *generation.token_ids])
        generation.text = self._cut(generation.text)
        self.messages = [*messages, {"role": "assistant", "content": generation.text}]
        return generation

    def reset(self) -> None:
        """Forget everything that was said."""
        self.messages = []
        self._cache.forget()

    def _written(self, messages: list[dict[str, str]]) -> list[int]:
        template = PLAIN_TEMPLATE if self._plain else None
        text = self._tokenizer.apply_chat_template(
            messages, chat_template=template, add_generation_prompt=True, tokenize=False
        )
        # The template writes special tokens itself; only the plain one leaves them to the tokenizer.
        if self._plain:
            return token_ids(self._tokenizer, str(text))
        ids: list[int] = self._tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
        return ids

    def _stops(self, options: GenerationOptions) -> tuple[str, ...]:
        return (*options.stop, PLAIN_STOP) if self._plain else tuple(options.stop)

    def _cut(self, text: str) -> str:
        return text.partition(PLAIN_STOP)[0].strip() if self._plain else text
