"""Sizes as people write them: "12GB" is 12 * 10^9 bytes, "24GiB" is 24 * 2^30."""

from __future__ import annotations

import re
from fractions import Fraction

from hobbit.errors import ConfigError

_UNITS = {"": 1, "b": 1}
for _power, _letter in enumerate("kmgt", start=1):
    _UNITS[_letter + "b"] = 1000**_power
    _UNITS[_letter + "ib"] = 1024**_power

_PATTERN = re.compile(r"\s*([0-9]*\.?[0-9]+)\s*([a-zA-Z]*)\s*")


def parse_size(text: str | int, option: str) -> int:
    """Bytes that `text` stands for; `option` names where it came from.

    Raises:
        ConfigError: if the text is not a number, 0 or more, with a unit of B, KB .. TB or KiB .. TiB.
    """
    match = _PATTERN.fullmatch(str(text))
    factor = _UNITS.get(match.group(2).lower()) if match else None
    if match is None or factor is None:
        raise ConfigError(
            f"{option}={text!r} is not a size; write a number and a unit, such as 12GB or 24GiB"
        )
    return round(Fraction(match.group(1)) * factor)


def parse_budget(text: str | int, option: str) -> int:
    """Bytes that may be spent.

    Raises:
        ConfigError: if the text is not a size, or nothing.
    """
    nbytes = parse_size(text, option)
    if nbytes == 0:
        raise ConfigError(f"{option}={text!r} is no memory at all; write a size such as 12GB or 24GiB")
    return nbytes


def format_size(nbytes: float) -> str:
    """The size in decimal units, three significant digits: "336 MB", "24.1 GB"."""
    for unit, factor in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if abs(nbytes) >= factor:
            value = nbytes / factor
            return f"{value:.0f} {unit}" if value >= 100 else f"{value:.3g} {unit}"
    return f"{nbytes:.0f} B"
