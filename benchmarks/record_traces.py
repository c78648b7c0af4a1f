"""Record the bundled traces: books, code and maths, each with a train and a test part.

The model runs in plain transformers, eager, in the checkpoint's dtype on the CPU; hooks on its routers hear
what they say. Prompts of the train parts are cut from the corpus's training text, those of the test parts
from its validation text; what follows is sampled.

python -m benchmarks.record_traces --model MODEL --corpus CORPUS --out hobbit/bundled/traces
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from torch import Tensor, nn
from torch.nn.functional import linear

from benchmarks.training.corpus import DOCUMENT, read_text
from hobbit.api import Routing
from hobbit.trace import RoutingStatistics, Trace, TraceHeader, TraceRecorder, measure, write_trace
from hobbit.trace.bundled import DOMAINS
from hobbit.trace.fingerprint import fingerprint_of

CORPUS_NAMES = {"maths": "math"}
SPLITS = {"train": "train", "test": "val"}
LENGTHS = ((16, 32), (16, 128), (128, 32), (128, 128), (64, 64), (32, 96))
"""Prompt and generated tokens of each sequence: the workloads of HOBBIT (arXiv 2411.01433), and two more."""

DEPTH = 4


@dataclass(frozen=True)
class Sampling:
    """How continuations are drawn. `never` is the token that ends a document: the text goes on without it."""

    temperature: float = 0.8
    seed: int = 0
    never: int | None = None


def cut_prompts(text: str, tokenizer: Any, lengths: Sequence[int], seed: int) -> list[list[int]]:
    """One prompt of each length in tokens, from the start of a line, each in its own stretch of `text`."""
    random = np.random.default_rng(seed)
    stretch = len(text) // len(lengths)
    prompts = []
    for number, length in enumerate(lengths):
        ids: list[int] = []
        while len(ids) < length:  # else the document ended too soon
            start = number * stretch + int(random.integers(stretch))
            piece = text[start : min(start + 32 * length, (number + 1) * stretch)]
            document = piece.partition("\n")[2].split(DOCUMENT)[0]
            ids = tokenizer.encode(document[: 8 * length], add_special_tokens=False)
        prompts.append(ids[:length])
    return prompts


def routers_of(model: nn.Module) -> list[nn.Module]:
    """The model's routers in layer order: bias-free linear, softmax, top-K, renormalised (Mixtral's)."""
    return [module for module in model.modules() if type(module).__name__ == "MixtralTopKRouter"]


@contextmanager
def listening(model: nn.Module, recorder: TraceRecorder) -> Iterator[None]:
    """Tell `recorder` what every router says, and what later routers make of its input."""
    routers = routers_of(model)

    def hear(layer: int, gate_input: Tensor, answer: tuple[Tensor, Tensor, Tensor]) -> None:
        logits, weights, experts = answer
        state = gate_input.reshape(-1, gate_input.shape[-1])  # [T, d]
        later = routers[layer + 1 : layer + 1 + recorder.header.depth]
        ahead = (
            torch.stack([linear(state, router.get_parameter("weight")) for router in later])
            if later
            else None
        )
        recorder.layer(
            layer,
            Routing(
                experts.numpy(),
                weights.float().numpy(),
                logits.float().numpy(),
                None if ahead is None else ahead.float().numpy(),
            ),
        )

    handles = [
        router.register_forward_hook(lambda _, args, answer, layer=layer: hear(layer, args[0], answer))
        for layer, router in enumerate(routers)
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@torch.inference_mode()
def record(
    model: Any,
    prompts: Sequence[Sequence[int]],
    generated: Sequence[int],
    header: TraceHeader,
    sampling: Sampling,
) -> Trace:
    """The trace of `prompts`, each continued by so many tokens, fed one by one."""
    recorder = TraceRecorder(header)
    generator = torch.Generator().manual_seed(sampling.seed)
    with listening(model, recorder):
        for prompt, count in zip(prompts, generated, strict=True):
            recorder.begin_sequence()
            cache, ids = None, list(prompt)
            for _ in range(count + 1):
                recorder.begin_pass(ids)
                output = model(input_ids=torch.tensor([ids]), past_key_values=cache, use_cache=True)
                recorder.end_pass()
                cache, ids = output.past_key_values, [draw(output.logits[0, -1], sampling, generator)]
    return recorder.trace()


def draw(logits: Tensor, sampling: Sampling, generator: torch.Generator) -> int:
    """One token from `logits` [V]."""
    scaled = logits.float() / sampling.temperature
    if sampling.never is not None:
        scaled[sampling.never] = float("-inf")
    return int(torch.multinomial(scaled.softmax(-1), 1, generator=generator))


def header_of(model: Any, folder: Path, domain: str, part: str, sampling: Sampling) -> TraceHeader:
    """The header of the trace to be recorded."""
    config = model.config
    return TraceHeader(
        model=folder.resolve().name,
        layers=config.num_hidden_layers,
        experts=config.num_local_experts,
        top_k=config.num_experts_per_tok,
        depth=DEPTH,
        dtype=str(model.dtype).removeprefix("torch."),
        domain=domain,
        part=part,
        seed=sampling.seed,
        fingerprint=fingerprint_of(folder),
        details={
            "temperature": sampling.temperature,
            "torch": torch.__version__,
            "transformers": transformers.__version__,
        },
    )


def summary(statistics: RoutingStatistics) -> str:
    """The statistics in a line."""
    repeats, skew = np.mean(statistics.repeats), np.mean(statistics.skew)
    ahead = " ".join(f"{share:.3f}" for share in statistics.lookahead)
    return f"repeats {repeats:.3f} skew {skew:.3f} margin {statistics.margin:.3f} ahead {ahead}"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    model: Any = transformers.AutoModelForCausalLM.from_pretrained(arguments.model, dtype="auto")
    model.set_experts_implementation("eager")
    tokenizer = transformers.AutoTokenizer.from_pretrained(arguments.model)
    arguments.out.mkdir(parents=True, exist_ok=True)
    for domain in DOMAINS:
        for part, split in SPLITS.items():
            text = read_text(arguments.corpus, CORPUS_NAMES.get(domain, domain), split)
            sampling = Sampling(seed=arguments.seed, never=tokenizer.eos_token_id)
            prompts = cut_prompts(text, tokenizer, [prompt for prompt, _ in LENGTHS], arguments.seed)
            header = header_of(model, arguments.model, domain, part, sampling)
            trace = record(model, prompts, [count for _, count in LENGTHS], header, sampling)
            path = arguments.out / f"{domain}.{part}.npz"
            write_trace(trace, path)
            print(f"{path}: {trace.tokens} tokens, {path.stat().st_size} bytes, {summary(measure(trace))}")


if __name__ == "__main__":
    main()
