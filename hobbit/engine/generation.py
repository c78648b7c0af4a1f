"""Generation: continue a prompt with transformers' own `generate`, and time it on the device's clock."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from time import perf_counter_ns

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase, TextStreamer

from hobbit.engine.tokens import check_length, token_ids

Clock = Callable[[], int]
"""Nanoseconds now: of the wall, or of a device that simulates (`device.report().now_ns`)."""


@dataclass(frozen=True, slots=True)
class GenerationOptions:
    """`sample`: draw from the model's distribution with `seed`, else greedy. `stop`: texts that end it.

    `static_cache`: a KV cache allocated at its full length at once, which recorded steps need.
    """

    max_new_tokens: int = 64
    sample: bool = False
    temperature: float = 1.0
    seed: int = 0
    stop: Sequence[str] = ()
    static_cache: bool = False


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
    result = Generation(token_ids(tokenizer, prompt))
    check_length(result.prompt_ids, model, options.max_new_tokens)
    ids = torch.tensor([result.prompt_ids], device=model.device)
    streamer = _Streamer(tokenizer, result, clock, on_text)
    stop = {"stop_strings": list(options.stop), "tokenizer": tokenizer} if options.stop else {}
    sampling = (
        {"do_sample": True, "temperature": options.temperature} if options.sample else {"do_sample": False}
    )
    cache = {"cache_implementation": "static"} if options.static_cache else {}
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(options.seed)
        model.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=options.max_new_tokens,
            streamer=streamer,
            disable_compile=True,  # what would be compiled calls us in its middle
            **cache,
            **stop,
            **sampling,
        )  # type: ignore[operator]
    result.text = str(tokenizer.decode(result.token_ids, skip_special_tokens=True))
    return result


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
