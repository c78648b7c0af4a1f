"""The quality sample of a live run: held-out text, teacher-forced against the high-precision model."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch

from hobbit.engine.quality import Passage, Quality, measure_quality, reference
from hobbit.engine.resident import ResidentServer
from hobbit.engine.session import Session
from hobbit.errors import ConfigError
from hobbit.prompts import bundled_prompt
from hobbit.report.progress import Progress

PREFILL = 32
"""Tokens of each passage that are given at once before decoding starts."""


def sample_quality(session: Session, domains: Sequence[str], tokens: int, progress: Progress) -> Quality:
    """Quality over `tokens` decoded tokens of each domain, from the cache state that the session is in.

    Raises:
        ConfigError: if a domain is unknown, or its text has fewer tokens than asked for.
    """
    passages = {domain: _passages(session, domain, tokens) for domain in domains}
    server = ResidentServer(partial(_placed, session))
    session.attachment.listen(None)
    progress.stage(f"quality: the reference, {tokens} tokens a domain")
    references = reference(session.attachment, server, passages)
    progress.stage(f"quality: this run, {tokens} tokens a domain")
    return measure_quality(session.model, passages, references)


def _placed(session: Session, layer: int, expert: int) -> dict[str, torch.Tensor]:
    """An expert at high precision where activations live, so that the reference runs the same kernels."""
    place = session.assembly.runtime.device.place
    return {name: tensor.to(place) for name, tensor in session.live.tensors(layer, expert).items()}


def _passages(session: Session, domain: str, tokens: int) -> list[Passage]:
    """Consecutive pieces of the domain's text that fit the model's context, `tokens` decoded ones in all."""
    ids: list[int] = session.tokenizer(bundled_prompt(domain))["input_ids"]
    limit = getattr(session.model.config.get_text_config(), "max_position_embeddings", len(ids)) - PREFILL - 1
    passages: list[Passage] = []
    start, left = 0, tokens
    while left > 0:
        count = min(left, limit)
        piece = ids[start : start + PREFILL + count + 1]
        if tokens < 1 or len(piece) < PREFILL + count + 1:
            raise ConfigError(
                f"quality.tokens={tokens} is more than the bundled {domain} text has; "
                f"ask for at most {len(ids) - PREFILL * (len(passages) + 1) - 1}"
            )
        passages.append(Passage(tuple(piece), PREFILL))
        start += PREFILL + count
        left -= count
    return passages
