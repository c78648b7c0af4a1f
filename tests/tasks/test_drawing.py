"""The tasks that draw: timeline, heat, sweep and report, as a user calls them."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hobbit.cli.main import main
from hobbit.report.sweep import read_points
from hobbit.trace import write_trace
from tests.trace.samples import small_trace

SIZES = ["layers=4", "experts=8", "top_k=2", "hidden=512", "ffn=1024", "vocab=512", "heads=8", "head_dim=64"]
SHAPE = [f"geometry.{size}" for size in SIZES]

Call = Callable[..., dict[str, Any]]
Refusal = Callable[..., str]


@pytest.fixture(scope="session")
def trace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small trace in a file."""
    path = tmp_path_factory.mktemp("trace") / "small.npz"
    write_trace(small_trace(), path)
    return path


@pytest.fixture
def words(trace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What every call here says; it is made in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return ["device=orin", f"task.trace={trace}", *SHAPE, "memory.device=28MB"]


@pytest.fixture
def call(words: list[str], capsys: pytest.CaptureFixture[str]) -> Call:
    """`call(*words)` gives the JSON report; errors fail the test."""

    def run(*own: str) -> dict[str, Any]:
        code = main([*own[:1], *words, *own[1:], "output=json"])
        out, err = capsys.readouterr()
        assert (code, err) == (0, "")
        found: dict[str, Any] = json.loads(out)
        return found

    return run


@pytest.fixture
def refusal(words: list[str], capsys: pytest.CaptureFixture[str]) -> Refusal:
    """`refusal(*words)` gives the one line on stderr; nothing is written."""

    def run(*own: str) -> str:
        before = sorted(Path.cwd().iterdir())
        code = main([*own[:1], *(words if own[0] != "report" else []), *own[1:]])
        out, err = capsys.readouterr()
        assert (code, out, err.count("\n")) == (2, "", 1)
        assert sorted(Path.cwd().iterdir()) == before
        return err.removeprefix("hobbit: error: ").rstrip()

    return run


def test_a_timeline_is_three_files(call: Call, tmp_path: Path) -> None:
    report = call("timeline", "policy=lru", "task.tokens=2", "task.skip=3", "out=t.json")
    assert report["files"] == ["t.json", "t.png", "t.svg"]
    assert sorted(path.name for path in tmp_path.iterdir()) == report["files"]
    assert (report["tokens"], report["context"]) == (2, 19)
    assert [use["stream"] for use in report["streams"]] == ["compute", "disk", "host"]
    content = json.loads((tmp_path / "t.json").read_text())
    assert content["otherData"]["clock"] == "simulated clock"
    tokens = [event for event in content["traceEvents"] if event.get("cat") == "token"]
    assert [event["name"] for event in tokens] == ["token 19", "token 20"]
    assert sum(event["dur"] for event in tokens) == pytest.approx(report["seconds"] * 1e6, abs=2)


def test_a_timeline_of_an_oracle_knows_the_first_sequence(call: Call) -> None:
    assert call("timeline", "policy=belady", "out=t.json")["tokens"] == 4


def test_heat_counts_decode(call: Call, tmp_path: Path) -> None:
    report = call("heat", "policy=lru", "out=heat.json")
    assert (len(report["uses"]), len(report["uses"][0]), report["decode_tokens"]) == (4, 8, 20)
    assert json.loads((tmp_path / "heat.json").read_text()) == report
    assert (tmp_path / "heat.png").is_file() and (tmp_path / "heat.svg").is_file()


def test_a_sweep_finds_more_with_more_room_and_belady_above_all(call: Call, tmp_path: Path) -> None:
    report = call("sweep", "policies=[lru,belady]", "task.shares=[0.5,0.25]", "out=sweep.jsonl")
    points = read_points(tmp_path / "sweep.jsonl")
    assert [(point.share, point.policy) for point in points] == [
        (0.25, "lru"), (0.25, "belady"), (0.5, "lru"), (0.5, "belady"),
    ]  # fmt: skip
    assert [json.loads(json.dumps(point.to_json())) for point in points] == [
        {"format": "hobbit-sweep", **point} for point in report["points"]
    ]
    few, ceiling, more, most = points
    assert few.hit_ratio < more.hit_ratio <= most.hit_ratio and few.hit_ratio <= ceiling.hit_ratio
    assert most.miss_penalty <= more.miss_penalty < few.miss_penalty
    assert [point.bound for point in points] == [False, True, False, True]
    assert 2 * few.slots[0] == more.slots[0] == 16


def test_shares_that_do_not_suffice_are_notes(call: Call) -> None:
    report = call("sweep", "policies=[lru]", "task.shares=[0.01,0.5]", "out=sweep.jsonl")
    assert [point["share"] for point in report["points"]] == [0.5]
    assert any(note.startswith("lru at 1 %: memory.device=") for note in report["notes"])


def test_a_page_gathers_what_tasks_left(
    call: Call, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    call("sweep", "policies=[lru,belady]", "task.shares=[0.25,0.5]", "out=sweep.jsonl")
    call("heat", "policy=lru", "out=heat.json")
    assert main(["report", f"task.results={tmp_path}", "out=page.html"]) == 0
    assert capsys.readouterr().out == "wrote page.html\n"
    page = (tmp_path / "page.html").read_text()
    assert page.count("<img ") == 2
    assert "Experts in use, and there when used: lru" in page and "Cache size" in page


def test_without_matplotlib_one_line_says_what_to_install(
    refusal: Refusal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    for task, out in (("timeline", "a.json"), ("heat", "a.json"), ("sweep", "a.jsonl"), ("report", "a.html")):
        assert "pip install 'hobbit-moe[pictures]'" in refusal(task, f"out={out}")


REFUSED = [
    ("timeline", "task=timeline writes a .json file; give out=timeline.json"),
    ("timeline out=t.txt", "task=timeline writes a .json file; give out=timeline.json, not out=t.txt"),
    ("heat out=none/heat.json", "out='none/heat.json' cannot be written: No such file or directory"),
    ("timeline out=t.json task.tokens=0", "task.tokens must be 1 or more, and task.skip 0 or more"),
    ("timeline out=t.json task.tokens=99", "the first sequence decodes 12 tokens, which is fewer than"),
    ("timeline out=t.json device=cpu", "task=timeline needs a virtual clock; device=cpu has none"),
    ("sweep out=s.jsonl policies=[lruu]", "task.policies: no policy is called 'lruu'; did you mean 'lru'?"),
    ("sweep out=s.jsonl task.shares=[1.5]", "task.shares: 1.5 is no share of the experts"),
    ("sweep out=s.jsonl task.shares=[]", "task.policies and task.shares must each have an entry"),
    ("sweep out=s.jsonl policies=[lru] task.shares=[0.01]", "nothing could be replayed: lru at 1 %: "),
    ("report out=r.html task.results=none", "task.results='none' cannot be read: No such file"),
    ("report out=r.html task.results=.", "task.results='.' holds no results; make some with task=compare"),
]


@pytest.mark.parametrize(("bad", "message"), REFUSED, ids=[bad for bad, _ in REFUSED])
def test_what_a_user_may_get_wrong(bad: str, message: str, refusal: Refusal) -> None:
    assert refusal(*bad.split()).startswith(message)


def test_a_folder_in_the_way_of_a_picture_is_found_before_anything_runs(
    refusal: Refusal, tmp_path: Path
) -> None:
    (tmp_path / "heat.png").mkdir()
    assert refusal("heat", "out=heat.json") == (
        "out='heat.png' cannot be written: it is a folder; choose another file"
    )
