"""How far HOBBIT's runs of the bundled model are from the model itself, measured side by side."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from statistics import fmean

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

DECODED, PARTS = 256, 2
"""Tokens that are decoded of a passage, and passages of each domain."""

WORDS = ("policy=hobbit", "memory.device=16MB", "precision.low=int2")
"""Memory for a fifth of the experts beside the KV cache: much runs at 2 bits, or not at all."""


def mean_divergences(devices: Iterable[str]) -> list[float]:
    """Mean KL(model || run) in nats over the decoded tokens of every passage, by device.

    A run decodes one token after another, which no batch and no thread makes faster: every passage has a
    process of its own, and each starts from an empty cache.
    """
    passages = [(domain, part) for domain in DOMAINS for part in range(PARTS)]
    workers = min(os.cpu_count() or 1, 2 * len(passages))
    with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
        awaited = [
            [pool.submit(divergence, device, domain, part) for domain, part in passages] for device in devices
        ]
        return [fmean(future.result() for future in futures) for futures in awaited]


def divergence(device: str, domain: str, part: int) -> float:
    """Mean KL over one passage, as task=evaluate measures it: the reference decodes on the same device."""
    torch.set_num_threads(1)  # as any run of so small a model
    config = compose([*WORDS, f"device={device}"])
    model, tokenizer = load_checkpoint(config.model.location)
    passage = _passage(token_ids(tokenizer, bundled_prompt(domain)), part)
    tokens = len(passage.tokens)
    with (
        Progress() as progress,
        open_session(
            model, tokenizer, config.setup(), name="bundled", tokens=tokens, past=bundled_past
        ) as session,
    ):
        return sample_quality(session, {domain: [passage]}, progress).overall.mean_kl


def _passage(ids: Sequence[int], part: int) -> Passage:
    start = part * (PREFILL + DECODED)
    return Passage(tuple(ids[start : start + PREFILL + DECODED + 1]), PREFILL)
