"""The quality sample of a live run: held-out text, teacher-forced against the high-precision model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import torch

from hobbit.engine.quality import Passage, Quality, measure_quality, reference
from hobbit.engine.resident import ResidentServer
from hobbit.engine.session import Session
from hobbit.engine.tokens import context_of, token_ids
from hobbit.errors import ConfigError
from hobbit.prompts import bundled_prompt
from hobbit.report.progress import Progress
from hobbit.tasks.live import Live

PREFILL = 32
"""Tokens of each passage that are given at once before decoding starts."""


def sample_quality(
    session: Session, passages: Mapping[str, Sequence[Passage]], progress: Progress
) -> Quality:
    """Quality over the decoded tokens of `passages`, from the cache state that the session is in."""
    server = ResidentServer(partial(_placed, session))
    session.attachment.listen(None)
    progress.stage("quality: the reference")
    references = reference(session.attachment, server, passages)
    progress.stage("quality: this run")
    return measure_quality(session.model, passages, references)


def _placed(session: Session, layer: int, expert: int) -> dict[str, torch.Tensor]:
    """An expert at high precision where activations live, so that the reference runs the same kernels."""
    place = session.assembly.runtime.device.place
    return {name: tensor.to(place) for name, tensor in session.live.tensors(layer, expert).items()}


def sample_passages(
    live: Live, section: str, domains: Sequence[str], tokens: int
) -> dict[str, list[Passage]]:
    """Held-out text of each domain, `tokens` decoded ones; `section` names the options that asked for it.

    Raises:
        ConfigError: if a domain is unknown, or its text has fewer tokens than asked for.
    """
    context = context_of(live.model)
    found = {}
    for domain in domains:
        ids = token_ids(live.tokenizer, bundled_prompt(domain))
        longest = max(1, (len(ids) if context is None else context) - PREFILL - 1)
        whole, rest = divmod(len(ids) - 1, longest + PREFILL)  # the last token is only predicted
        most = whole * longest + max(0, rest - PREFILL)
        if tokens > most:
            raise ConfigError(
                f"{section}.tokens={tokens} exceeds the bundled {domain} text; ask for at most {most}"
            )
        found[domain] = _cut(ids, tokens, longest)
    return found


def _cut(ids: Sequence[int], tokens: int, longest: int) -> list[Passage]:
    """Consecutive passages of at most `longest` decoded tokens, `tokens` in all."""
    passages: list[Passage] = []
    start = 0
    for first in range(0, tokens, longest):
        stop = start + PREFILL + min(longest, tokens - first)
        passages.append(Passage(tuple(ids[start : stop + 1]), PREFILL))
        start = stop
    return passages
