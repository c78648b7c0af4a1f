"""What a live task starts from: the prompt, the checkpoint and the geometry that its options name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hobbit.config.schema import HobbitConfig
from hobbit.config.store import OWN_GEOMETRY
from hobbit.errors import ConfigError
from hobbit.geometry import Geometry
from hobbit.tasks.standard_input import piped_text

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

DEFAULT_PROMPT = "The old man looked at the sea for a long time before he spoke."

STANDARD_INPUT = "-"
"""The prompt that stands for what is piped in."""

SMALL_MODEL = 100_000_000
"""Parameters below which one CPU thread is fastest."""


def prompt_of(config: HobbitConfig) -> str:
    """The text to continue: `prompt`, else the content of `prompt_file`, else a bundled line.

    `prompt=-` is what stands on standard input; so is no prompt, if something is piped in.

    Raises:
        ConfigError: if both are given, or the file cannot be read as UTF-8.
    """
    given = given_prompt(config)
    if given is None:
        given = piped_text(wait=False)
    return DEFAULT_PROMPT if given is None else given


def given_prompt(config: HobbitConfig) -> str | None:
    """The text that the options give, None if they give none. Raises ConfigError as `prompt_of` does."""
    if config.prompt is not None and config.prompt_file is not None:
        raise ConfigError("prompt and prompt_file are both given; choose one")
    if config.prompt == STANDARD_INPUT:
        return piped_text(wait=True)
    if config.prompt_file is not None:
        try:
            return Path(config.prompt_file).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
            raise ConfigError(f"prompt_file={config.prompt_file!r} cannot be read: {reason}") from None
    if config.prompt is not None and not is_text(config.prompt):
        raise ConfigError("prompt is not UTF-8 text; check the terminal's encoding")
    return config.prompt


def is_text(words: str) -> bool:
    """False if the words came from bytes that are no UTF-8."""
    try:
        words.encode()
    except UnicodeEncodeError:
        return False
    return True


def prompts_of(config: HobbitConfig, lines: bool) -> list[str]:
    """The text to continue; with `lines`, each line of it that is not blank is a prompt of its own.

    Raises:
        ConfigError: if there is none.
    """
    text = prompt_of(config)
    prompts = [line for line in text.splitlines() if line.strip()] if lines else [text]
    if not prompts:
        raise ConfigError("the prompt has no line that is not blank; give at least one")
    return prompts


def load_model(config: HobbitConfig) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """The checkpoint or bundle that `model=` names, and the threads that suit it. Raises ModelError."""
    import torch

    from hobbit.engine.opening import open_model

    model, tokenizer = open_model(config.model.location)
    # Threads cost a small matrix more than they gain, and far more where others use the cores.
    small = model.num_parameters() < SMALL_MODEL
    threads = config.threads or (1 if small else torch.get_num_threads())
    torch.set_num_threads(threads)
    return model, tokenizer


def charged_geometry(config: HobbitConfig, simulated: bool, overrides: Sequence[str]) -> Geometry | None:
    """The geometry whose bytes and flops are charged; None: the model's own.

    On a simulated device a model may stand in for a reference geometry of its shape, as the bundled one does
    for Mixtral-8x7B; a device that really runs moves the bytes there are.

    Raises:
        ConfigError: if a geometry was asked for where it cannot count.
    """
    own = config.geometry.name == OWN_GEOMETRY.name
    if simulated:
        return None if own else config.geometry
    if not own and any(word.startswith("geometry=") for word in overrides):
        raise ConfigError(
            f"geometry={config.geometry.name} counts on simulated devices only; leave it out, or run on one"
        )
    return None
