"""Text to tokens, and whether a prompt can be run."""

from __future__ import annotations

from collections.abc import Sequence

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from hobbit.errors import ConfigError


def token_ids(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    """The tokens of `text`, quietly: what is too long for the model is ours to judge."""
    ids: list[int] = tokenizer(text, verbose=False)["input_ids"]
    return ids


def context_of(model: PreTrainedModel) -> int | None:
    """Tokens that the model was made for; None if it does not say."""
    length: int | None = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    return length


def check_length(ids: Sequence[int], model: PreTrainedModel, max_new_tokens: int) -> None:
    """Raise ConfigError if the prompt has no tokens, or exceeds the context with what is to be generated."""
    context = context_of(model)
    if max_new_tokens < 1:
        raise ConfigError(f"max_new_tokens={max_new_tokens} generates nothing; ask for at least 1")
    if not ids:
        raise ConfigError("the prompt has 0 tokens; give it at least one character")
    if context is not None and len(ids) + max_new_tokens > context:
        raise ConfigError(
            f"{len(ids)} prompt tokens and max_new_tokens={max_new_tokens} exceed the model's "
            f"context of {context}; shorten the prompt or generate less"
        )
