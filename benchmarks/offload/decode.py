"""The same decoding for everybody, token by token, with what the kernel counts of reads."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter

import torch
from transformers import PreTrainedModel

from benchmarks.offload.checkpoint import SEED

PROMPT = 16


@dataclass(frozen=True, slots=True)
class Decoded:
    """Seconds and bytes read from the disk (/proc/self/io) of every token, and what the model says next."""

    seconds: tuple[float, ...]
    read_bytes: tuple[int, ...]
    ids: tuple[int, ...]

    def print(self, **more: object) -> None:
        """One line of JSON for the process that started this one."""
        sys.stdout.write("\n" + json.dumps(asdict(self) | more) + "\n")


def read_bytes() -> int:
    """Bytes that the kernel has read from disks for this process."""
    lines = Path("/proc/self/io").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("read_bytes"))


@torch.no_grad()
def decode(model: PreTrainedModel, tokens: int, before: Callable[[], None] = lambda: None) -> Decoded:
    """Prefill a fixed prompt, then time `tokens` steps over fixed random tokens, whatever the model says:
    left to itself, a model of random weights repeats one token. `before` is called ahead of each, untimed.
    """
    generator = torch.Generator().manual_seed(SEED)
    vocabulary = model.config.get_text_config().vocab_size
    text = torch.randint(vocabulary, (1, PROMPT + tokens), generator=generator)
    out = model(text[:, :PROMPT], use_cache=True)
    seconds, counts, ids = [], [], []
    for position in range(PROMPT, PROMPT + tokens):
        before()
        start, already = perf_counter(), read_bytes()
        step = text[:, position : position + 1]
        out = model(step, past_key_values=out.past_key_values, use_cache=True)
        seconds.append(perf_counter() - start)
        counts.append(read_bytes() - already)
        ids.append(int(out.logits[0, -1].argmax()))
    return Decoded(tuple(seconds), tuple(counts), tuple(ids))
