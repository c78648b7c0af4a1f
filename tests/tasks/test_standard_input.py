"""Text that is piped in is the prompt; a pipe that stays silent keeps nobody waiting."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from hobbit.cli.main import main
from hobbit.config.compose import compose
from hobbit.errors import ConfigError
from hobbit.tasks import standard_input
from hobbit.tasks.inputs import DEFAULT_PROMPT, prompt_of
from tests.tasks.conftest import QUICK


@contextmanager
def pipe(*chunks: bytes, left_open: bool = False) -> Iterator[int]:
    """A pipe's reading end with `chunks` in it."""
    reader, writer = os.pipe()
    for chunk in chunks:
        os.write(writer, chunk)
    if not left_open:
        os.close(writer)
    yield reader
    os.close(reader)
    if left_open:
        os.close(writer)


@pytest.fixture(autouse=True)
def afresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    standard_input.piped_text.cache_clear()
    monkeypatch.setattr(standard_input, "_PATIENCE_S", 0.05)
    yield
    standard_input.piped_text.cache_clear()


def prompt_from(descriptor: int, monkeypatch: pytest.MonkeyPatch, *words: str) -> str:
    monkeypatch.setattr(standard_input, "_DESCRIPTOR", descriptor)
    return prompt_of(compose(words))


@pytest.mark.parametrize("words", [(), ("prompt=-",)])
@pytest.mark.parametrize(("given", "read"), [(b"two\nlines\n", "two\nlines"), ("été\r\n".encode(), "été")])
def test_what_is_piped_in_is_the_prompt(
    given: bytes, read: str, words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pipe(given) as reader:
        assert prompt_from(reader, monkeypatch, *words) == read
        assert prompt_from(reader, monkeypatch, *words) == read  # every job of a sweep has it


def test_a_file_is_read_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "text").write_text("from a file\n")
    with (tmp_path / "text").open() as file:
        assert prompt_from(file.fileno(), monkeypatch) == "from a file"


def test_a_prompt_that_is_given_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    with pipe(b"piped") as reader:
        assert prompt_from(reader, monkeypatch, "prompt=given") == "given"


@pytest.mark.parametrize("chunks", [(), (b"\n",)])
def test_nothing_piped_in_is_no_prompt(chunks: tuple[bytes, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    with pipe(*chunks) as reader:
        assert prompt_from(reader, monkeypatch) == DEFAULT_PROMPT


def test_a_silent_pipe_keeps_nobody_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    with pipe(left_open=True) as reader:
        assert prompt_from(reader, monkeypatch) == DEFAULT_PROMPT


def test_a_device_or_nothing_at_all_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    with Path(os.devnull).open() as null:
        assert prompt_from(null.fileno(), monkeypatch) == DEFAULT_PROMPT
    assert prompt_from(987, monkeypatch) == DEFAULT_PROMPT
    standard_input.piped_text.cache_clear()
    with pytest.raises(ConfigError, match="cannot be read"):
        prompt_from(987, monkeypatch, "prompt=-")


def test_what_is_no_text(monkeypatch: pytest.MonkeyPatch) -> None:
    with pipe(b"caf\xe9") as reader, pytest.raises(ConfigError, match="not UTF-8"):
        prompt_from(reader, monkeypatch)


def test_a_whole_run(tiny: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    words = [word for word in QUICK if not word.startswith("prompt=")]
    with pipe(b"It's+a(b)\n") as reader:
        monkeypatch.setattr(standard_input, "_DESCRIPTOR", reader)
        assert main([f"model={tiny}", "device=cpu", "--json", *words]) == 0
    assert json.loads(capsys.readouterr().out)["prompt"] == "It's+a(b)"
