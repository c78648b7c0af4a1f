"""Free text through Hydra and back: quoted for its grammar, masked from OmegaConf's interpolations."""

from __future__ import annotations

import re

from hydra.core.override_parser.types import Quote, QuotedString

from hobbit.config.model import ModelOptions
from hobbit.config.schema import HobbitConfig
from hobbit.config.tasks import TASKS, Task
from hobbit.registry import options_of

# A Unicode noncharacter, set aside for uses like this. Inside "${" and "???" it hides them from OmegaConf,
# which sees an interpolation or a missing value there. A backslash would not do: OmegaConf also reads the
# record that Hydra keeps of every override, quotes and all.
_MASK = "\ufdd0"
_MASKED = re.compile(f"{_MASK}({_MASK}?)")


def quote(text: str) -> str:
    """`text` as a literal of Hydra's grammar, without anything that OmegaConf would interpret."""
    masked = text.replace(_MASK, 2 * _MASK).replace("${", f"${_MASK}{{")
    if masked == "???":
        masked = f"?{_MASK}??"
    return QuotedString(masked, Quote.single).with_quotes()


def is_text(key: str) -> bool:
    """True if the option takes free text, whose value is never Hydra's to read."""
    section, _, name = key.rpartition(".")
    if section == "task":
        return any(name in _texts(task) for task in TASKS.values())
    return name in {"": _texts(HobbitConfig), "model": _texts(ModelOptions)}.get(section, ())


def unmask(config: HobbitConfig) -> None:
    """Give every text option back the text that `quote` was given."""
    owners: tuple[HobbitConfig | ModelOptions | Task, ...] = (config, config.model, config.task)
    for owner in owners:
        for name in _texts(type(owner)):
            text = getattr(owner, name)
            if text is not None:
                setattr(owner, name, _MASKED.sub(r"\1", text))


def _texts(options: type) -> list[str]:
    return [option.name for option in options_of(options) if option.type in ("str", "str | None")]
