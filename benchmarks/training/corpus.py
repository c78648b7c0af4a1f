"""The corpus: three domains of text, as documents, as token streams on disk, and as training windows.

A corpus folder holds `{domain}.train.txt.xz` and `{domain}.val.txt`; documents are separated by `<|doc|>`.

python -m benchmarks.training.corpus --corpus CORPUS --tokenizer TOKENIZER --out TOKENS
"""

from __future__ import annotations

import argparse
import json
import lzma
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

DOMAINS = ("books", "code", "math")
DOCUMENT = "<|doc|>"
Tokens = npt.NDArray[np.uint16]


def read_text(corpus: Path, domain: str, split: str = "train") -> str:
    """Return a split's whole text; `train` is xz-compressed, `val` is plain."""
    if split == "train":
        return lzma.decompress((corpus / f"{domain}.train.txt.xz").read_bytes()).decode()
    return (corpus / f"{domain}.val.txt").read_bytes().decode()


def read_documents(corpus: Path, domain: str) -> list[str]:
    """Return the training documents, each with the separator that ends it."""
    documents = read_text(corpus, domain).split(DOCUMENT)
    return [text + DOCUMENT for text in documents[:-1]] + documents[-1:]


def encode(tokenizer: Tokenizer, text: str) -> Tokens:
    """Tokenize one text without adding special tokens; the separator in the text becomes its own token."""
    return np.array(tokenizer.encode(text, add_special_tokens=False).ids, dtype=np.uint16)


def encode_corpus(
    corpus: Path, tokenizer: Tokenizer, out: Path, workers: int = 16
) -> dict[str, dict[str, int]]:
    """Write `{domain}.{split}.npy` (uint16, documents in file order), and their sizes to `sizes.json`.

    Returns the sizes: {"{domain}.{split}": {"tokens": n, "bytes": n}}, bytes of UTF-8.
    """
    out.mkdir(parents=True, exist_ok=True)
    sizes = {}
    with ThreadPoolExecutor(workers) as pool:
        for domain in DOMAINS:
            documents = read_documents(corpus, domain)
            train = np.concatenate(list(pool.map(lambda text: encode(tokenizer, text), documents)))
            validation = encode(tokenizer, read_text(corpus, domain, "val"))
            for split, tokens in (("train", train), ("val", validation)):
                np.save(out / f"{domain}.{split}.npy", tokens)
                size = len(read_text(corpus, domain, split).encode())
                sizes[f"{domain}.{split}"] = {"tokens": len(tokens), "bytes": size}
    (out / "sizes.json").write_text(json.dumps(sizes, indent=1) + "\n")
    return sizes


def load_tokens(folder: Path, split: str) -> dict[str, Tokens]:
    """Return one split of every domain from a folder that `encode_corpus` wrote."""
    return {domain: np.load(folder / f"{domain}.{split}.npy") for domain in DOMAINS}


@dataclass
class WindowStream:
    """An endless stream of windows over one domain, every token once an epoch.

    Each epoch shuffles the documents, drops a random prefix shorter than a window and shuffles the windows,
    so windows differ between epochs. The state is two integers; all else follows from them and the seed.
    """

    tokens: Tokens
    length: int
    separator: int
    seed: int
    epoch: int = 0
    position: int = 0
    _windows: Tokens | None = field(default=None, repr=False)
    _order: npt.NDArray[np.int64] = field(default_factory=lambda: np.empty(0, dtype=np.int64), repr=False)

    def __post_init__(self) -> None:
        ends = np.flatnonzero(self.tokens == self.separator) + 1
        self._bounds = [0, *ends.tolist(), len(self.tokens)]

    def _build(self) -> None:
        random = np.random.default_rng([self.seed, self.epoch])
        order = random.permutation(len(self._bounds) - 1)
        text = np.concatenate([self.tokens[self._bounds[i] : self._bounds[i + 1]] for i in order])
        first = int(random.integers(self.length))
        count = (len(text) - first) // self.length
        self._windows = text[first : first + count * self.length].reshape(count, self.length)
        self._order = random.permutation(count)

    def take(self, count: int) -> Tokens:
        """Return the next `count` windows as [count, length]."""
        parts = []
        while count:
            if self._windows is None:
                self._build()
            assert self._windows is not None
            part = self._windows[self._order[self.position : self.position + count]]
            parts.append(part)
            count -= len(part)
            self.position += len(part)
            if self.position == len(self._order):
                self.epoch, self.position, self._windows = self.epoch + 1, 0, None
        return np.concatenate(parts) if parts else np.empty((0, self.length), dtype=np.uint16)


class Batches:
    """Batches whose rows come from the domains in fixed proportions, from streams that go on for ever."""

    def __init__(
        self,
        tokens: dict[str, Tokens],
        mixture: dict[str, float],
        rows: int,
        length: int,
        separator: int,
        seed: int,
    ) -> None:
        self.source = tokens
        self.streams = {
            name: WindowStream(tokens[name], length + 1, separator, seed + index)
            for index, name in enumerate(DOMAINS)
        }
        self.rows = rows
        self.due = rows * np.array([mixture[name] for name in DOMAINS]) / sum(mixture.values())
        self.owed = np.zeros(len(DOMAINS))  # rows due so far less rows taken

    def take(self) -> Tokens:
        """Return the next batch, [rows, length + 1]; each domain's total stays within a row of its share."""
        self.owed = self.owed + self.due
        counts = dict.fromkeys(DOMAINS, 0)
        for _ in range(self.rows):  # each row goes to the domain that is owed most
            index = int(self.owed.argmax())
            self.owed[index] -= 1
            counts[DOMAINS[index]] += 1
        return np.concatenate([stream.take(counts[name]) for name, stream in self.streams.items()])

    def state(self) -> dict[str, tuple[int, int, float]]:
        """Return epoch, position and rows owed of every domain."""
        return {
            name: (stream.epoch, stream.position, float(owed))
            for (name, stream), owed in zip(self.streams.items(), self.owed, strict=True)
        }

    def restore(self, state: dict[str, tuple[int, int, float]]) -> None:
        """Go on from a state that `state` returned."""
        self.owed = np.array([state[name][2] for name in DOMAINS])
        for name, stream in self.streams.items():
            stream.epoch, stream.position = state[name][:2]
            stream._windows = None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--tokenizer", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    tokenizer = Tokenizer.from_file(str(arguments.tokenizer / "tokenizer.json"))
    print(encode_corpus(arguments.corpus, tokenizer, arguments.out))


if __name__ == "__main__":
    main()
