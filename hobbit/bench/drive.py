"""Drive: greedy decoding of one sequence, every step timed to the token in the host's hands."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter_ns
from typing import Any

import torch
from transformers import Cache, PreTrainedModel, StaticCache


@dataclass(frozen=True, slots=True)
class Timed:
    """One sequence: nanoseconds of the prompt's pass, and of each generated token's."""

    prefill_ns: int
    token_ns: tuple[int, ...]

    @property
    def decode_ns(self) -> int:
        """All tokens together."""
        return sum(self.token_ns)

    @property
    def tokens_per_second(self) -> float:
        """Decode speed."""
        return len(self.token_ns) / self.decode_ns * 1e9


Hear = Callable[[], None]
"""Called when a step begins or is over."""


@torch.no_grad()
def drive(
    model: PreTrainedModel,
    prompt: int,
    tokens: int,
    cache: Cache | None = None,
    begun: Hear | None = None,
    over: Hear | None = None,
    place: torch.device | None = None,
) -> Timed:
    """Run `prompt` random tokens in one pass, then `tokens` greedy ones, each fed back to the model.

    `cache` is a static KV cache to use again (None: a growing one). A step ends when the next token has been
    read back: everything queued for it is done. `place` is where tokens go, if that is not where the model's
    first weight lies.
    """
    generator = torch.Generator().manual_seed(0)
    vocabulary = model.get_input_embeddings().get_parameter("weight").shape[0]
    ids = torch.randint(vocabulary, (1, prompt), generator=generator).to(place or model.device)
    called: Any = model
    times: list[int] = []
    if cache is not None:
        cache.reset()  # type: ignore[no-untyped-call]
    for _ in range(tokens + 1):
        if begun is not None:
            begun()
        start = perf_counter_ns()
        out = called(input_ids=ids, past_key_values=cache, use_cache=True, logits_to_keep=1)
        ids = out.logits[:, -1].argmax(-1, keepdim=True).to(ids.device)
        ids.item()
        times.append(perf_counter_ns() - start)
        if over is not None:
            over()
        cache = out.past_key_values
    return Timed(times[0], tuple(times[1:]))


def static_cache(model: PreTrainedModel, length: int) -> Cache:
    """A KV cache that keeps its place: what steps need that are replayed from recordings."""
    return StaticCache(config=model.config, max_cache_len=length)
