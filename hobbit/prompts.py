"""The bundled prompts: held-out text of the three domains that quality is sampled on."""

from __future__ import annotations

from importlib.resources import files

from hobbit.errors import ConfigError, nearest

DOMAINS = ("books", "code", "maths")


def bundled_prompt(domain: str) -> str:
    """The held-out text of one domain.

    Raises:
        ConfigError: if there is no such domain.
    """
    if domain not in DOMAINS:
        raise ConfigError(f"no bundled prompt is of domain {domain!r}{nearest(domain, DOMAINS)}")
    return (files("hobbit") / "bundled" / "prompts" / f"{domain}.txt").read_text(encoding="utf-8")
