"""From the C file to a library: once, whole or not at all, and with a reason where there is none."""

from __future__ import annotations

import platform
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hobbit_devices.host_kernels import HostMaths, choose_kernels
from hobbit_devices.host_kernels.compiler import FLAGS, Compiler
from hobbit_devices.host_kernels.loading import SOURCE, load


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where libraries go. They are made without optimisation, in a quarter of the time."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr("hobbit_devices.host_kernels.compiler.FLAGS", ("-O0", *FLAGS[1:]))
    return tmp_path / "hobbit" / "host_kernels"


def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """Let a shell script be the compiler."""
    path = tmp_path / "compiler"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    monkeypatch.setenv("CC", str(path))


def nothing_compiles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Compiler, "compile", lambda *_: pytest.fail("it is in the cache"))


def test_a_library_is_compiled_once(compiler: Compiler, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert load()[1] is None
    assert [path.suffix for path in cache.iterdir()] == [".so"], "nothing else is left"
    nothing_compiles(monkeypatch)
    assert load()[1] is None


def test_a_damaged_library_is_made_again(compiler: Compiler, cache: Path) -> None:
    load()
    (library,) = cache.iterdir()
    whole = library.read_bytes()
    for damaged in (b"", whole[: len(whole) // 2], whole[:-1] + b"!"):
        library.write_bytes(damaged)
        assert load()[1] is None
        (library,) = cache.iterdir()
        assert library.read_bytes() == whole


def test_a_library_that_cannot_be_loaded_is_made_again(
    compiler: Compiler, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load()
    (library,) = cache.iterdir()
    monkeypatch.setattr(
        "hobbit_devices.host_kernels.library_cache.LibraryCache._name", lambda *_: library.name
    )
    library.write_text("whole, as far as its name says, but no library")
    assert load()[1] is None
    assert library.read_bytes()[1:4] == b"ELF"


def test_another_source_compiler_or_processor_means_another_library(
    compiler: Compiler, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load()
    source = tmp_path / "expert.c"
    source.write_text(SOURCE.read_text(encoding="utf-8") + "\n/* changed */\n", encoding="utf-8")
    load(source)
    monkeypatch.setattr("hobbit_devices.host_kernels.compiler._processor", lambda: "another")
    load()
    command(tmp_path, monkeypatch, f'exec {" ".join(compiler.command)} "$@"')
    load()
    assert len({path.name.split("-")[0] for path in cache.iterdir()}) == 4


def test_processes_that_compile_at_once_each_get_theirs(compiler: Compiler, cache: Path) -> None:
    with ThreadPoolExecutor(3) as pool:
        assert [reason for _, reason in pool.map(lambda _: load(), range(3))] == [None] * 3
    assert {path.suffix for path in cache.iterdir()} == {".so"}


@pytest.mark.skipif(sys.platform == "win32", reason="a file cannot be put where a folder should be")
def test_a_cache_that_cannot_be_written_costs_a_compilation_each_time(
    compiler: Compiler, cache: Path
) -> None:
    cache.parent.parent.mkdir(exist_ok=True)
    cache.parent.write_text("a file, not a folder")
    for _ in range(2):
        assert load()[1] is None
    assert cache.parent.is_file()


def test_without_a_home_nothing_is_kept(
    compiler: Compiler, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hobbit_devices.host_kernels.loading.cache_folder", lambda: None)
    assert load()[1] is None
    assert not cache.exists()


def test_a_machine_without_a_compiler_says_so(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CC", raising=False)
    assert load() == (None, "no C compiler: none of cc, gcc, clang is there")
    monkeypatch.setenv("CC", "nowhere -m64")
    assert load() == (None, "no C compiler: CC=nowhere is no command")
    assert not cache.exists()


@pytest.mark.skipif(sys.platform == "win32", reason="scripts are the shell's")
@pytest.mark.parametrize(
    ("script", "reason"),
    [
        (
            '[ "$1" = --version ] || { echo "error: no OpenMP here" >&2; exit 1; }',
            "failed: error: no OpenMP here",
        ),
        ('[ "$1" = --version ] || kill -9 $$', "failed: -9"),
        ("exit 3", "failed: 3"),
        ('for word; do out=$word; [ "$last" = -o ] && echo nonsense > "$word"; last=$word; done', ""),
    ],
    ids=["no_openmp", "killed", "no_version", "makes_nonsense"],
)
def test_a_compiler_that_fails_leaves_nothing_but_a_reason(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, reason: str
) -> None:
    command(tmp_path, monkeypatch, script)
    kernels, found = load()
    assert kernels is None and found is not None and found.endswith(reason) and "\n" not in found
    assert not cache.exists() or not list(cache.iterdir())


def test_a_library_that_computes_wrongly_is_not_used(compiler: Compiler, cache: Path, tmp_path: Path) -> None:
    source = tmp_path / "expert.c"
    text = SOURCE.read_text(encoding="utf-8")
    up = "sums[t][4 / up->bits]"
    assert text.count(up) == 1
    source.write_text(text.replace(up, "sums[t][0]"), encoding="utf-8")
    assert load(source) == (None, "the compiled library gives wrong results for int4 of bfloat16")
    assert not list(cache.iterdir())


@pytest.mark.skipif(platform.machine() != "x86_64", reason="these are x86's vectors")
@pytest.mark.parametrize(("needs", "flags"), [("sse2", ()), ("avx2", ("-march=haswell",))])
def test_processors_with_narrower_vectors_compute_the_same(
    compiler: Compiler, cache: Path, monkeypatch: pytest.MonkeyPatch, needs: str, flags: tuple[str, ...]
) -> None:
    cpuinfo = Path("/proc/cpuinfo")
    if not cpuinfo.exists() or needs not in cpuinfo.read_text(encoding="utf-8").split():
        pytest.skip(f"this processor has no {needs}, for all we know")
    monkeypatch.setattr("hobbit_devices.host_kernels.compiler.FLAGS", FLAGS)
    monkeypatch.setattr("hobbit_devices.host_kernels.compiler.MACHINE", (flags,))
    assert load()[1] is None, "the self-check compares every format with float64"


def test_torch_is_chosen_without_a_look_at_compilers(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: pytest.fail("no compiler is asked for"))
    notes: list[str] = []
    assert choose_kernels(HostMaths.torch, notes) is None and not notes


def test_what_is_lost_without_a_compiler_is_noted(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CC", "nowhere")
    notes: list[str] = []
    assert choose_kernels(HostMaths.auto, notes) is None
    (note,) = notes
    assert "CC=nowhere" in note and "far slower" in note and "install gcc" in note


def test_the_chosen_kernels_come_without_a_note(compiler: Compiler, cache: Path) -> None:
    notes: list[str] = []
    assert choose_kernels(HostMaths.auto, notes) is not None and not notes
