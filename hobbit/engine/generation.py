"""Generation: continue a prompt with transformers' own `generate`, and time it on the device's clock."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from time import perf_counter_ns

import torch
from transformers import (
    Cache,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    StoppingCriteria,
    StoppingCriteriaList,
    TextStreamer,
)

from hobbit.engine.tokens import check_length, token_ids

Clock = Callable[[], int]
"""Nanoseconds now: of the wall, or of a device that simulates (`device.report().now_ns`)."""


@dataclass(frozen=True, slots=True)
class GenerationOptions:
    """`sample`: draw from the model's distribution with `seed`, else greedy. `stop`: texts that end it.

    `static_cache`: a KV cache allocated at its full length at once, which recorded steps need.
    `prefill_chunk`: tokens of the prompt that run at once (0: all), which bounds the memory of activations.
    """

    max_new_tokens: int = 64
    sample: bool = False
    temperature: float = 1.0
    seed: int = 0
    stop: Sequence[str] = ()
    static_cache: bool = False
    prefill_chunk: int = 0


@dataclass(slots=True)
class Generation:
    """What was generated, and when. `arrivals` are the clock at the start and after each new token."""

    prompt_ids: list[int]
    token_ids: list[int] = field(default_factory=list)
    text: str = ""
    arrivals: list[int] = field(default_factory=list)

    @property
    def prefill_ns(self) -> int:
        """From the start to the first new token."""
        return self.arrivals[1] - self.arrivals[0]

    @property
    def token_ns(self) -> list[int]:
        """Time of each new token after the first."""
        later = self.arrivals[1:]
        return [end - start for start, end in pairwise(later)]

    @property
    def tokens_per_second(self) -> float:
        """Decode speed, prefill apart; 0 if nothing was decoded after the first token."""
        total = sum(self.token_ns)
        return len(self.token_ns) / total * 1e9 if total else 0.0


def generate(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompt: str,
    options: GenerationOptions,
    clock: Clock = perf_counter_ns,
    on_text: Callable[[str], None] | None = None,
) -> Generation:
    """Continue `prompt`; `on_text` hears of the new text as soon as it forms whole words.

    Raises:
        ConfigError: if the prompt has no tokens, or does not fit the context with what is to be generated.
    """
    return generate_from(model, tokenizer, token_ids(tokenizer, prompt), options, clock, on_text)


def generate_from(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompt_ids: list[int],
    options: GenerationOptions,
    clock: Clock = perf_counter_ns,
    on_text: Callable[[str], None] | None = None,
    cache: Cache | None = None,
    stopped: Callable[[], bool] | None = None,
) -> Generation:
    """The same from tokens. `cache` may hold the KV of the first of them, and holds those of the rest after.

    `stopped` is asked after each new token; True ends the generation there.
    """
    result = Generation(prompt_ids)
    check_length(result.prompt_ids, model, options.max_new_tokens)
    ids = torch.tensor([result.prompt_ids], device=model.device)
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(options.seed)
        model.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=options.max_new_tokens,
            streamer=_Streamer(tokenizer, result, clock, on_text),
            disable_compile=True,  # what would be compiled calls us in its middle
            **_chosen(options, tokenizer, cache),
            **({} if stopped is None else {"stopping_criteria": StoppingCriteriaList([_Stop(stopped)])}),
        )  # type: ignore[operator]
    result.text = str(tokenizer.decode(result.token_ids, skip_special_tokens=True))
    return result


def _chosen(
    options: GenerationOptions, tokenizer: PreTrainedTokenizerBase, cache: Cache | None
) -> dict[str, object]:
    """What `model.generate` calls the options."""
    chosen: dict[str, object] = {"do_sample": options.sample}
    if options.sample:
        chosen["temperature"] = options.temperature
    if options.stop:
        chosen |= {"stop_strings": list(options.stop), "tokenizer": tokenizer}
    if options.prefill_chunk:
        chosen["prefill_chunk_size"] = options.prefill_chunk
    if cache is not None:
        chosen["past_key_values"] = cache
    elif options.static_cache:
        chosen["cache_implementation"] = "static"
    return chosen


class _Stop(StoppingCriteria):
    """Ends every sequence as soon as somebody wants it."""

    def __init__(self, stopped: Callable[[], bool]) -> None:
        self._stopped = stopped

    def __call__(self, input_ids: torch.Tensor, scores: object, **kwargs: object) -> torch.Tensor:
        """One answer a sequence, [B]."""
        return torch.full((len(input_ids),), self._stopped(), device=input_ids.device)


class _Streamer(TextStreamer):
    """Notes each token and the time it came, and passes finished text on."""

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        result: Generation,
        clock: Clock,
        on_text: Callable[[str], None] | None,
    ) -> None:
        super().__init__(tokenizer, skip_prompt=True, skip_special_tokens=True)
        self._result = result
        self._clock = clock
        self._on_text = on_text

    def put(self, value: torch.Tensor) -> None:
        """Hear of the prompt first, then of one token a pass."""
        self._result.arrivals.append(self._clock())
        if not self.next_tokens_are_prompt:
            self._result.token_ids += value.flatten().tolist()
        super().put(value)  # type: ignore[no-untyped-call]

    def on_finalized_text(self, text: str, stream_end: bool = False) -> None:
        """Pass finished text on."""
        if self._on_text is not None and text:
            self._on_text(text)
