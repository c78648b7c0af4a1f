"""load and attach: a transformers model whose experts are served under a policy."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, cast

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from hobbit.config.compose import compose_overrides
from hobbit.config.model import ModelOptions
from hobbit.config.schema import HobbitConfig
from hobbit.config.text import quote
from hobbit.config.words import to_overrides
from hobbit.engine.tokens import context_of, token_ids
from hobbit.errors import ConfigError
from hobbit.library.offload import Offload
from hobbit.prompts import bundled_prompt
from hobbit.report.progress import Progress
from hobbit.tasks.checks import refuse_oracle
from hobbit.tasks.inputs import load_model
from hobbit.tasks.live import fit

CONTEXT = 4096
"""Tokens of KV cache that are reserved for if nobody says more, where the model has so many."""

_SAMPLE = 64
"""Tokens whose routing thresholds are fitted to."""

_SEED = 0


def load(
    path: str | os.PathLike[str] = ModelOptions.path,
    policy: str = "hobbit",
    device: str = "auto",
    memory: str = "auto",
    *,
    context: int = 0,
    options: Sequence[str] = (),
) -> PreTrainedModel:
    """The checkpoint `path` (a folder, a hub id, or nothing: the bundled model), ready to generate.

    `policy` and `device` are names as on the command line, `memory` the device's budget such as "12GB" and
    `context` the tokens of KV cache it is to hold, of all sequences of a batch together (0: 4096, or the
    model's own if that is less). `options` are further words of the command line, such as
    "cache.low_share=0.2". `model.hobbit` is the `Offload` that counts and closes.

    Raises:
        ModelError, ConfigError, BudgetError, DeviceError: one line that says what does not fit.
    """
    words = [] if path == ModelOptions.path else [f"model={os.fspath(path)}"]
    if not any(word.startswith("threads=") for word in options):
        words.append(f"threads={torch.get_num_threads()}")  # they are the program's, not ours to change
    config, overrides = _composed([*words, *_words(policy, device, memory, context, options)])
    with Progress() as progress:
        progress.stage("loading the model")
        model, tokenizer = load_model(config)
        _open(config, overrides, model, tokenizer, policy, progress)
    return model


def attach(
    model: PreTrainedModel,
    policy: str = "hobbit",
    device: str = "auto",
    memory: str = "auto",
    *,
    tokenizer: PreTrainedTokenizerBase | None = None,
    context: int = 0,
    options: Sequence[str] = (),
) -> PreTrainedModel:
    """The same for a model that is loaded already; returns it.

    `tokenizer`, if given, reads the text that a policy's thresholds are fitted to; else tokens are drawn.
    `model.hobbit.close()` makes the model whole again. Where a policy runs at lower precisions alone, the
    original experts stay in memory for that.

    Raises:
        ModelError, ConfigError, BudgetError, DeviceError: one line that says what does not fit; the model is
            whole then.
    """
    own = [
        "model=base_model",
        f"model.path={quote(model.name_or_path or type(model).__name__)}",
        "geometry=own",
    ]
    config, overrides = _composed(_words(policy, device, memory, context, options), own)
    with Progress() as progress:
        _open(config, overrides, model, tokenizer, policy, progress, keep=True)
    return model


def _words(policy: str, device: str, memory: str, context: int, options: Sequence[str]) -> list[str]:
    """The arguments as they are written on the command line; `options` come last, so that they count."""
    arguments = {"policy": policy, "device": device, "memory.device": memory, "memory.context": context}
    for name, value in arguments.items():
        if not isinstance(value, str | int):
            raise ConfigError(f"{name}={value!r} is no text; give a name, or a size such as '12GB'")
    return [*(f"{name}={value}" for name, value in arguments.items()), *options]


def _composed(words: Sequence[str], first: Sequence[str] = ()) -> tuple[HobbitConfig, list[str]]:
    """The configuration of the overrides `first` and of what `words` ask for, and all overrides."""
    overrides = [*first, *to_overrides(words)]
    config = compose_overrides(overrides)
    refuse_oracle(config, "choose another policy")
    return config, overrides


def _open(
    config: HobbitConfig,
    overrides: Sequence[str],
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase | None,
    policy: str,
    progress: Progress,
    keep: bool = False,
) -> None:
    """Fit the policy to the model, put it behind its experts and leave the handle with the model."""
    ids, source = _sample(model, tokenizer)
    live = fit(config, overrides, model, cast(Any, tokenizer), [], [ids], progress, source)
    progress.stage("encoding the experts")
    session = live.open(tokens=_context(model), record=False, keep=keep)
    Offload(policy, session, live.calibration.notes, attached=keep)


def _context(model: PreTrainedModel) -> int:
    return min(CONTEXT, context_of(model) or CONTEXT)


def _sample(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase | None) -> tuple[list[int], str]:
    """Tokens whose routing stands for all, and what they are: nobody has given a prompt yet."""
    length = min(_SAMPLE, _context(model))
    if tokenizer is not None:
        return token_ids(tokenizer, bundled_prompt("books"))[:length], "the routing of bundled text"
    generator = torch.Generator().manual_seed(_SEED)
    vocabulary = model.config.get_text_config().vocab_size
    return torch.randint(vocabulary, (length,), generator=generator).tolist(), "the routing of random tokens"
