"""chat=true: at a terminal, with Ctrl-C in the middle of an answer, and through a pipe."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from hobbit.cli.main import main
from hobbit.tasks.chat.shown import Shown
from tests.tasks.terminal import END, INTERRUPT, Terminal

TALK = ["chat=true", "device=cpu", "temperature=0", "quantizer.group_size=16"]

LONG = [
    "chat=true",
    "device=cpu",
    "memory.device=60MB",
    "temperature=0",
    "policy=hobbit",
    "max_new_tokens=600",
]
"""An answer of the bundled model that takes a while."""

Piped = Callable[..., tuple[int, str, str]]


@pytest.fixture
def piped(tiny: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Piped:
    """`piped(text, *words)` runs a chat of the tiny model on the lines of `text`: code, output, errors."""

    def call(text: str, *words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "stdin", io.StringIO(text))
        code = main([*TALK, f"model={tiny}", *words])
        return code, *capsys.readouterr()

    return call


def test_a_session_at_a_terminal(tmp_path: Path) -> None:
    with Terminal(*LONG, cwd=tmp_path) as terminal:
        terminal.expect("/help lists the commands.")
        terminal.expect("> ")
        terminal.type("Once upon a time\n")
        terminal.expect("Once upon a time\n")
        terminal.expect(" ")  # the answer has begun
        terminal.type(INTERRUPT)
        terminal.expect("(stopped)\n> ")
        terminal.type("half a line")
        terminal.expect("half a line")
        terminal.pause()
        terminal.type(INTERRUPT)
        terminal.expect("(/quit or Ctrl-D ends the session)\n> ")
        terminal.type("/stats\n")
        assert "1 answers so far" in terminal.expect("> ")
        terminal.type("/policy lru\n/policy\n")
        terminal.expect("\nlru\n")
        terminal.expect("> ")
        terminal.type(END)
        assert terminal.wait() == 0
    assert list(tmp_path.iterdir()) == []


def test_lines_through_a_pipe(piped: Piped) -> None:
    lines = ["Hello", "/policy", "/policy lru", "And then?", "/nope", "/reset", "Hello", "/quit", "unheard"]
    code, out, err = piped("\n".join(lines), "policy=all_resident", "max_new_tokens=6", "output=json")
    assert code == 0
    assert (
        err == "hobbit: error: no command is called '/nope'; known: /help, /policy, /quit, /reset, /stats\n"
    )
    name, *rest = [line for line in out.splitlines() if not line.startswith("{")]
    assert (name, rest) == ("all_resident", [])
    first, second, again = [json.loads(line) for line in out.splitlines() if line.startswith("{")]
    assert (first["policy"], second["policy"], again["policy"]) == ("all_resident", "lru", "lru")
    assert second["prompt_tokens"] > first["prompt_tokens"] + first["tokens"]  # it knows what was said
    assert again["content"] == first["content"]
    assert first["tokens"] == 6
    assert not first["interrupted"]


def test_a_prompt_is_the_first_message(piped: Piped) -> None:
    words = ["policy=all_resident", "max_new_tokens=6", "output=json", "temperature=0.7", "seed=3"]
    _, told, _ = piped("And then?\n", *words, "prompt=Hello")
    _, typed, _ = piped("Hello\nAnd then?\n", *words)
    rows = [[json.loads(line) for line in out.splitlines()] for out in (told, typed)]
    assert [row["content"] for row in rows[0]] == [row["content"] for row in rows[1]]


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["prompt=-"], "leave prompt=- out"),
        (["out=chat.txt"], "leave out= out"),
        (["policy=belady"], "chat under another policy"),
        (["prefill_chunk=-1"], "prefill_chunk=-1 is negative"),
    ],
)
def test_what_makes_no_chat(words: list[str], reason: str, piped: Piped) -> None:
    code, out, err = piped("", *words)
    assert (code, out) == (2, "")
    assert reason in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("size", [1, 3, 50])
def test_the_mark_that_ends_an_answer_is_not_shown(size: int) -> None:
    text, mark = "One.\nUs two.\nUser: more", "\nUser:"
    heard: list[str] = []
    shown = Shown(heard.append, mark)
    for start in range(0, len(text), size):
        shown(text[start : start + size])
    shown.end()
    assert "".join(heard) == "One.\nUs two."


def test_what_only_looks_like_the_mark_is_shown() -> None:
    heard: list[str] = []
    shown = Shown(heard.append, "\nUser:")
    shown("One.\nUse")
    assert heard == ["One."]
    shown.end()
    assert "".join(heard) == "One.\nUse"
