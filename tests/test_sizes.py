"""Sizes as people write them."""

from __future__ import annotations

import pytest

from hobbit.errors import ConfigError
from hobbit.sizes import parse_budget, parse_size


@pytest.mark.parametrize(
    ("text", "nbytes"),
    [("12GB", 12 * 10**9), ("24GiB", 24 * 2**30), ("1.5 kb", 1500), (".5MiB", 2**19), ("7", 7), (0, 0)],
)
def test_sizes(text: str | int, nbytes: int) -> None:
    assert parse_size(text, "memory.device") == nbytes


@pytest.mark.parametrize("text", ["-3GB", "abc", "12 parsecs", "1e9", "", "GB", "1.2.3", "nan"])
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(ConfigError, match=r"^memory\.device='.*' is not a size; write a number and a unit"):
        parse_size(text, "memory.device")


@pytest.mark.parametrize("text", ["0", "0GB", "0.0"])
def test_a_budget_of_nothing(text: str) -> None:
    with pytest.raises(ConfigError, match="is no memory at all"):
        parse_budget(text, "memory.device")


def test_more_digits_than_a_float_holds() -> None:
    assert parse_size("9" * 400, "memory.device") == int("9" * 400)
