"""task=compare: the same cells however they are run, kept through interruptions, honest about failures."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import pytest

from hobbit.cli.main import main
from hobbit.config.compose import compose_overrides
from hobbit.config.words import to_overrides
from hobbit.report.bounds import with_bounds
from hobbit.report.cell import Cell, CellQuality, read_cells
from hobbit.tasks.comparison.grid import make_grid
from hobbit.tasks.comparison.measure import measure_cell
from hobbit.tasks.comparison.schedule import measured
from hobbit.tasks.comparison.spec import CellSpec, digest, own_values, shared_values

SMALL = [
    "task=compare",
    "workload=smoke",
    "devices=[orin]",
    "geometries=[mixtral_8x7b]",
    "quality.tokens=1",
    "quality.domains=[books]",
]
QUALITY = CellQuality(1, 0.1, 0.1, 1.0, 2.0, 2.0, 0.0)


def grid(*words: str) -> list[CellSpec]:
    """The specs of the small grid with these words."""
    overrides = to_overrides([*SMALL, *words])
    return make_grid(compose_overrides(overrides), overrides)


def timeless(cells: Sequence[Cell]) -> list[Cell]:
    """Without the wall time, by key."""
    return sorted((replace(cell, seconds=0.0) for cell in cells), key=lambda cell: cell.key)


@pytest.fixture(scope="module")
def serial() -> list[Cell]:
    """Three policies, measured one after the other in this process; hobbit is the lossy one."""
    specs = grid("policies=[lru,belady,hobbit]")
    return timeless([measure_cell(spec, None) for spec in specs])


def test_parallel_equals_serial(
    serial: list[Cell], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [*SMALL, "policies=[lru,belady,hobbit]", f"out={tmp_path / 'new' / 'folder'}"]
    assert main([*words, "task.workers=2"]) == 0
    folder = tmp_path / "new" / "folder"
    assert timeless(read_cells(folder / "results.jsonl")) == serial
    out = capsys.readouterr().out
    assert "orin, mixtral_8x7b (simulated clock; workload smoke; routing recorded: books, code, maths)" in out
    assert "hobbit ~" in out and (folder / "comparison.md").is_file()


def test_lossy_policies_have_quality_and_lossless_ones_need_none(serial: list[Cell]) -> None:
    cells = {cell.policy: cell for cell in serial}
    assert {name for name, cell in cells.items() if cell.quality} == {"hobbit"}
    assert [cells["hobbit"].effect.value, cells["lru"].effect.value] == ["quality", "hint"]
    assert all(m.prefill_tokens == m.decode_tokens == 3 * 4 for c in serial if (m := c.measures))


def test_other_shapes_replay_synthetic_routing_without_quality() -> None:
    cell = measure_cell(grid("policies=[hobbit]", "geometries=[phi_moe]")[0], None)
    assert (cell.synthetic, cell.quality, cell.lossless, cell.error) == (True, None, False, None)
    assert cell.routing == "generated with the statistics of books, code, maths"


def test_a_live_run_of_a_lossy_policy_serves_the_same_tokens(serial: list[Cell]) -> None:
    cell = measure_cell(grid("policies=[hobbit]", "task.live=true")[0], QUALITY)
    replayed = next(c for c in serial if c.policy == "hobbit").measures
    assert cell.measures is not None and replayed is not None and cell.error is None
    assert (cell.measures.prefill_tokens, cell.measures.decode_tokens) == (12, 12)
    assert cell.measures.decode_tokens_per_s == pytest.approx(replayed.decode_tokens_per_s, rel=0.2)


def test_a_second_call_measures_what_is_missing_alone(
    serial: list[Cell], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [*SMALL, "policies=[lru,belady]", f"out={tmp_path}", "output=json", "task.workers=1"]
    assert main(words) == 0
    path = tmp_path / "results.jsonl"
    first, half = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(first + half[: len(half) // 2])  # killed in the middle of a line
    capsys.readouterr()
    assert main(words) == 0
    out, err = capsys.readouterr()
    assert "1 of 2 cells are in" in err
    assert path.read_bytes().startswith(first) and path.read_bytes().endswith(b"\n")
    cells = [Cell.from_json(cell) for cell in json.loads(out)["cells"]]
    known = {cell.key: cell for cell in with_bounds(serial)}
    assert [replace(cell, seconds=0.0) for cell in cells] == [known[cell.key] for cell in cells]
    assert main([*words, "task.fresh=true"]) == 0
    assert len(path.read_bytes().splitlines()) == 4 and len(read_cells(path)) == 2


def test_what_one_device_lacks_is_said_and_the_grid_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [*SMALL, "policies=[lru,all_resident]", "memory.device=3300MB", f"out={tmp_path}"]
    assert main([*words, "task.workers=1"]) == 0
    failed, fine = sorted(read_cells(tmp_path / "results.jsonl"), key=lambda cell: cell.error is None)
    assert (failed.policy, failed.measures, fine.error) == ("lru", None, None)
    assert failed.error is not None and "are missing" in failed.error
    assert (
        "not measured: lru on orin with mixtral_8x7b (4+4): memory.device=3.3 GB" in capsys.readouterr().out
    )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("policies=[lru,hobit]", "no policy is called 'hobit'; did you mean 'hobbit'?"),
        ("devices=[orinn]", "no device is called 'orinn'; did you mean 'orin'?"),
        ("geometries=[mixtral]", "no geometry is called 'mixtral'; did you mean 'mixtral_8x7b'?"),
        ("devices=[cpu]", "task=compare needs a virtual clock; device=cpu has none"),
        ("workload=custom", "workload.pairs is empty"),
        ("workload.pairs=[[4]]", "workload.pairs: [4] is no pair of lengths"),
        ("workload.pairs=[[4,99999]]", "workload.pairs: [4, 99999] does not fit trace books: its longest"),
        ("task.traces=[]", "task.traces is empty"),
        ("task.workers=-1", "task.workers=-1 is negative"),
        ("model=.", "task=compare runs the bundled model or none, not model=."),
        ("cache.w_lru=1", "no option is called 'cache.w_lru'"),
        ("out=/proc/nowhere", "out='/proc/nowhere' cannot be written"),
        ("out=/dev/null", "out='/dev/null' cannot be written"),
    ],
)
def test_bad_words_are_refused_before_anything_runs(
    words: str,
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    given = [word for word in SMALL if word.partition("=")[0] != words.partition("=")[0]]
    asked = [] if words.startswith("policies") else ["policies=[lru]"]
    assert main([*given, *asked, words]) == 2
    out, err = capsys.readouterr()
    assert not out and err.startswith(f"hobbit: error: {message}") and err.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_keys_tell_apart_whatever_determines_a_cell() -> None:
    spec, same = grid("policies=[lru]")[0], grid("policies=[belady,lru]", "task.workers=7")[1]
    assert same.key == spec.key
    config = spec.config
    variants = [
        config,
        replace(config, seed=1),
        replace(config, memory=replace(config.memory, device="20GB")),
        replace(config, cache=replace(config.cache, low_share=0.1)),
        replace(config, device=replace(config.device, disk_gb_s=4.0)),  # type: ignore[call-arg]
        replace(config, geometry=replace(config.geometry, ffn=14337)),
        replace(config, transfers=replace(config.transfers, block="96MB")),
        replace(config, precision=replace(config.precision, low="int4")),
        replace(config, quality=replace(config.quality, tokens=2)),
        replace(config, workload=replace(config.workload, pairs=[[4, 5]])),
    ]
    keys = {digest(shared_values(c, spec.traces, False), own_values("lru", c)) for c in variants}
    keys.add(digest(shared_values(config, ("books",), False), own_values("lru", config)))
    keys.add(digest(shared_values(config, spec.traces, True), own_values("lru", config)))
    keys.add(digest(shared_values(config, spec.traces, False), own_values("lfu", config)))
    assert len(keys) == len(variants) + 3


def test_all_share_the_high_precision_of_the_device() -> None:
    lossless, own = grid("policies=[hobbit_lossless,lru]")
    assert (lossless.config.precision.high, own.config.precision.high) == ("int8", "int8")


def test_one_cell_of_a_policy_tells_its_quality_to_the_others() -> None:
    specs = grid("policies=[hobbit,lru]", "workload.pairs=[[4,4],[4,8],[8,8]]")
    told: list[tuple[str, bool]] = []

    def submit(spec: CellSpec, quality: CellQuality | None) -> Future[Cell]:
        told.append((spec.policy, quality is not None))
        done: Future[Cell] = Future()
        found = QUALITY if spec.policy == "hobbit" else None
        done.set_result(Cell("", spec.key, spec.policy, "", "", "", quality=quality or found))
        return done

    assert len(list(measured(specs, {}, submit))) == 6
    assert sorted(told) == [("hobbit", False), *[("hobbit", True)] * 2, *[("lru", False)] * 3]
    told.clear()
    assert len(list(measured(specs[1:3], {specs[0].unit: QUALITY}, submit))) == 2
    assert told == [("hobbit", True)] * 2


def test_a_component_that_breaks_down_costs_its_cell_alone() -> None:
    spec = grid("policies=[lru]")[0]
    broken = replace(spec, config=replace(spec.config, cache=None))  # type: ignore[arg-type]
    cell = measure_cell(broken, None)
    assert cell.error is not None and cell.error.startswith("AttributeError: ")


def test_a_sweep_shares_one_folder(
    serial: list[Cell], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [word for word in SMALL if not word.startswith("devices")]
    flags = ["-m", "policy=lru,belady", "device=orin", "task.workers=1", f"out={tmp_path}"]
    assert main([*words, *flags]) == 0
    capsys.readouterr()
    known = [cell for cell in serial if cell.policy in ("lru", "belady")]
    assert timeless(read_cells(tmp_path / "results.jsonl")) == known
    boards = json.loads((tmp_path / "comparison.json").read_text())["boards"]
    assert [row["gap_closed"] for row in boards[0]["rows"]] == [1.0, 0.0]


def test_ctrl_c_leaves_whole_lines_and_says_how_to_go_on(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    words = [
        *SMALL,
        "policies=[lru,lfu,belady,on_demand,hobbit_lossless,mixtral_offloading,fiddler,freetoken]",
        "workload.pairs=[[4,4],[128,128],[128,32],[16,128]]",  # far more than is done when the signal comes
        f"out={tmp_path}",
    ]
    command = [sys.executable, "-m", "hobbit", *words, "task.workers=1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        while process.poll() is None and not (path.exists() and path.stat().st_size):
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "the same command goes on from there" in err and "Traceback" not in err
    assert path.read_bytes().endswith(b"\n") and 1 <= len(read_cells(path)) < 32


@pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed")
def test_a_local_ray_of_two_workers_measures_the_same(serial: list[Cell], tmp_path: Path) -> None:
    words = [*SMALL, "policies=[lru,belady,hobbit]", f"out={tmp_path}"]
    assert main([*words, "task.executor=ray", "task.workers=2"]) == 0
    assert timeless(read_cells(tmp_path / "results.jsonl")) == serial


@pytest.mark.skipif(find_spec("ray") is not None, reason="Ray is installed")
def test_without_ray_its_executor_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*SMALL, "policies=[lru]", "task.executor=ray"]) == 2
    assert "pip install 'hobbit-moe[ray]'" in capsys.readouterr().err
