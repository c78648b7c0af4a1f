"""Free text arrives as the shell passed it, whatever Hydra and OmegaConf would make of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hobbit.cli.main import main
from hobbit.config.schema import HobbitConfig
from hobbit.config.tasks import RunTask

ARRIVED: list[HobbitConfig] = []


def keep(config: HobbitConfig, overrides: Sequence[str]) -> int:
    """A task that does nothing but look."""
    ARRIVED.append(config)
    return 0


@pytest.fixture(scope="module", autouse=True)
def _looking() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RunTask, "function", f"{__name__}:keep")
        yield


PIECES = [*"\\'\"${}[](),=:#~+? \n\t", "null", "???", "${", "a", "\ufdd0", "é"]
TRICKY = st.lists(st.sampled_from(PIECES)).map("".join)
ANY = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
OPTIONS = ("prompt", "stop", "out", "prompt_file")


@settings(max_examples=10, deadline=None)  # composing takes its time, so every example carries four texts
@given(st.tuples(TRICKY, TRICKY, TRICKY, ANY))
@example(("a, b", "It's {x}, (c) and 2+2=?", "null", ""))
@example(("${oc.env:HOME} \\${x} ${", "???", "  both ends \\", "two\nlines\r\n"))
@example(("--cfg job", "[a, 'b']", "out/of folder (1).json", "\\\\share\\${user}\\'"))
def test_any_text(texts: tuple[str, ...]) -> None:
    assert main([f"{option}={text}" for option, text in zip(OPTIONS, texts, strict=True)]) == 0
    config = ARRIVED.pop()
    assert tuple(getattr(config, option) for option in OPTIONS) == texts


@pytest.mark.parametrize("name", ["a, ${b}", "It's (c) [1]=x", "???"])
def test_any_folder_as_model(name: str, tmp_path: Path) -> None:
    folder = tmp_path / name
    folder.mkdir()
    assert main([f"model={folder}"]) == 0
    assert ARRIVED.pop().model.location == str(folder)


def test_in_a_sweep_a_comma_is_a_comma(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["hobbit"])
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    assert main(["--multirun", "prompt=a, ${b} or ???", "seed=1,2"]) == 0
    second, first = ARRIVED.pop(), ARRIVED.pop()
    assert first.prompt == second.prompt == "a, ${b} or ???"
    assert (first.seed, second.seed) == (1, 2)
