"""Words that fit nothing: one line each, with the nearest name."""

from __future__ import annotations

import pytest

from hobbit.config.compose import compose
from hobbit.errors import ConfigError


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("+policy=hobit", "no policy is called 'hobit'; did you mean 'hobbit'?"),
        ("device=orinn", "no device is called 'orinn'; did you mean 'orin'?"),
        ("cache=lruu", "no cache is called 'lruu'; did you mean 'lru'?"),
        ("task=rnu", "no task is called 'rnu'; did you mean 'run'?"),
        ("geometry=", "no geometry is called ''; known: "),
        ("promt=hi", "no option is called 'promt'; did you mean 'prompt'?"),
        ("+zzz=1", "no option is called 'zzz'; known: batcher, "),
        ("cache=lru cache.low_sare=1", "no option is called 'cache.low_sare'; did you mean 'low_share'?"),
        ("cache=lru +cache.low_sare=1", "no option is called 'cache.low_sare'; did you mean 'low_share'?"),
        ("memory.devise=12GB", "no option is called 'memory.devise'; did you mean 'device'?"),
        (
            "max_new_tokens=many",
            "max_new_tokens: Value 'many' of type 'str' could not be converted to I",
        ),
        ("cache=lru cache.low_share=x", "cache.low_share: Value 'x' of type 'str' could not be converted"),
        ("output=jsn", "output: Invalid value 'jsn', expected one of [text, json]"),
        (
            "model=bundeld",
            "model='bundeld' is no known model, no folder and no hub id (org/name)",
        ),
        ("model=/no/such/folder", "model='/no/such/folder' is no known model, no folder"),
        ("seed=(a", "'seed=(a' cannot be read as an option"),
        ("cache=lru,lfu", "Ambiguous value for argument 'cache=lru,lfu'; for a run of each, add --multirun"),
        ("~cache", "Missing mandatory value: cache"),
        ("seed", "'seed' lacks a value; write seed=VALUE"),
        ("simulat", "'simulat' is no task and no OPTION=VALUE; did you mean 'simulate'?"),
    ],
)
def test_one_line_that_names_it(words: str, message: str) -> None:
    with pytest.raises(ConfigError) as raised:
        compose(words.split())
    assert str(raised.value).startswith(message)
    assert "\n" not in str(raised.value)
