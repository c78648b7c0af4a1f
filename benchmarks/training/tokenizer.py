"""Train the bundled model's tokenizer: byte-level BPE of 4096 tokens, digits one by one.

python -m benchmarks.training.tokenizer --corpus CORPUS --out TOKENIZER
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Iterator
from pathlib import Path

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from benchmarks.training.corpus import DOCUMENT, DOMAINS, read_documents

VOCABULARY = 4096
PAD = "<|pad|>"
# Words with an optional leading mark, single digits, punctuation runs, line breaks, indentation.
SPLIT = (
    r"'(?:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
# Bytes of each domain that the merges are learnt from: mostly books, where the model has least to spare.
SAMPLE_BYTES = {"books": 40_000_000, "code": 4_000_000, "math": 2_000_000}


def sample(corpus: Path, seed: int = 0, chunk: int = 20_000) -> Iterator[str]:
    """Yield each domain's text in random chunks of at most `chunk` characters, up to `SAMPLE_BYTES`."""
    for domain in DOMAINS:
        chunks = [
            document[start : start + chunk]
            for document in read_documents(corpus, domain)
            for start in range(0, len(document), chunk)
        ]
        random.Random(seed).shuffle(chunks)
        taken = 0
        for text in chunks:
            if taken >= SAMPLE_BYTES[domain]:
                break
            taken += len(text)
            yield text


def build() -> Tokenizer:
    """Return the untrained tokenizer: a reversible byte-level BPE without prefix space or normalisation."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(SPLIT), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    return tokenizer


def train(corpus: Path) -> PreTrainedTokenizerFast:
    """Learn the merges from a sample of every domain and wrap the result for transformers."""
    tokenizer = build()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[DOCUMENT, PAD],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(sample(corpus), trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=DOCUMENT,
        eos_token=DOCUMENT,
        pad_token=PAD,
        model_max_length=1024,
        clean_up_tokenization_spaces=False,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    train(arguments.corpus).save_pretrained(arguments.out)


if __name__ == "__main__":
    main()
