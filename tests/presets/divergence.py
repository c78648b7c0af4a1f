"""How far HOBBIT's runs of the bundled model are from the model itself, measured side by side."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from statistics import fmean
from subprocess import PIPE, run

import torch

from hobbit.config.compose import compose
from hobbit.engine.checkpoint import load_checkpoint
from hobbit.engine.quality import Passage
from hobbit.engine.session import open_session
from hobbit.engine.tokens import token_ids
from hobbit.prompts import DOMAINS, bundled_prompt
from hobbit.report.progress import Progress
from hobbit.tasks.quality import PREFILL, sample_quality
from hobbit.trace.past import bundled_past

DECODED, PARTS = 192, 4
"""Tokens that are decoded of a passage, and passages of each domain."""

WORDS = ("policy=hobbit", "memory.device=15MB", "precision.low=int2")
"""Memory for a fifth of the experts beside the KV cache: much runs at 2 bits, or not at all."""


def mean_divergences(together: Mapping[str, int]) -> list[float]:
    """Mean KL(model || run) in nats over the decoded tokens of every passage, by device.

    A run decodes one token after another, which no batch and no thread makes faster: processes take
    `together` passages each, by device (a GPU is best shared by few), and all run side by side.
    """
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        awaited = [
            [
                pool.submit(_apart, device, domain, range(first, min(first + count, PARTS)))
                for domain in DOMAINS
                for first in range(0, PARTS, count)
            ]
            for device, count in together.items()
        ]
        return [fmean(chain.from_iterable(f.result() for f in futures)) for futures in awaited]


def _apart(device: str, domain: str, parts: Iterable[int]) -> list[float]:
    """`divergences` in a process that runs this file."""
    words = [sys.executable, __file__, device, domain, *map(str, parts)]
    found: list[float] = json.loads(run(words, stdout=PIPE, check=True).stdout)
    return found


def divergences(device: str, domain: str, parts: Iterable[int]) -> list[float]:
    """Mean KL over each passage, from an empty cache, as task=evaluate measures it: on the one device."""
    return [_divergence(device, domain, part) for part in parts]


def _divergence(device: str, domain: str, part: int) -> float:
    torch.set_num_threads(1)  # as any run of so small a model
    config = compose([*WORDS, f"device={device}"])
    model, tokenizer = load_checkpoint(config.model.location)
    passage = _passage(token_ids(tokenizer, bundled_prompt(domain)), part)
    setup, tokens = config.setup(), len(passage.tokens)
    with (
        Progress() as progress,
        open_session(model, tokenizer, setup, name="bundled", tokens=tokens, past=bundled_past) as session,
    ):
        return sample_quality(session, {domain: [passage]}, progress).overall.mean_kl


def _passage(ids: Sequence[int], part: int) -> Passage:
    start = part * (PREFILL + DECODED)
    return Passage(tuple(ids[start : start + PREFILL + DECODED + 1]), PREFILL)


if __name__ == "__main__":
    print(json.dumps(divergences(sys.argv[1], sys.argv[2], map(int, sys.argv[3:]))))
