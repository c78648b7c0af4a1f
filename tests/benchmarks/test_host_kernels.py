"""The benchmark of the host's kernels times what it says; the figures themselves are nobody's to assert."""

from __future__ import annotations

from pathlib import Path

import pytest
from hobbit_devices.host_kernels.loading import load

from benchmarks import host_kernels
from hobbit.api import Geometry

SMALL = Geometry(name="small", hidden=64, ffn=128)


def test_each_precision_has_its_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(host_kernels, "ENOUGH_NS", 0)
    kernels, reason = load()
    if kernels is None:
        pytest.skip(str(reason))
    for precision in host_kernels.PRECISIONS:
        head, *rows = host_kernels.measure(kernels, SMALL, precision, "small", [1], [1, 9], cold=0)
        assert head.startswith("small, 0.0 MB an expert; torch: ")
        assert [row.split(":")[0].split() for row in rows] == [
            ["1", "threads", "1", "tokens"],
            ["1", "threads", "9", "tokens"],
        ]
        assert all(row.count("GB/s") == 2 for row in rows)


def test_without_a_compiler_it_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CC", "nowhere")
    assert host_kernels.main([]) == 2
    assert capsys.readouterr().err == "benchmarks.host_kernels: no C compiler: CC=nowhere is no command\n"
