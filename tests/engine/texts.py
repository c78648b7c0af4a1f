"""A tokenizer of single letters, for the tiny models."""

from __future__ import annotations

from pathlib import Path

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

_FIRST = 33


def letters() -> PreTrainedTokenizerFast:
    """Each printable ASCII character is a token (no blanks); 97 in all, as the tiny models have."""
    vocabulary = {"<s>": 0, "<pad>": 1, "<unk>": 2} | {chr(_FIRST + i): 3 + i for i in range(94)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex("."), "isolated")
    tokenizer.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", pad_token="<pad>", unk_token="<unk>"
    )


def save_checkpoint(folder: Path, model: object, shard: str = "5GB") -> Path:
    """Write `model` and its tokenizer to `folder`, in shards of at most `shard`."""
    model.save_pretrained(folder, max_shard_size=shard)  # type: ignore[attr-defined]
    letters().save_pretrained(folder)
    return folder
