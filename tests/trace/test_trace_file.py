"""Trace files: what is written is read, bit for bit; what is no good trace is one line."""

from __future__ import annotations

import json
import tempfile
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hobbit.errors import TraceError
from hobbit.trace import Trace, bundled_trace, read_trace, write_trace
from hobbit.types import RoutingShape
from tests.trace.samples import assert_same, random_trace, small_trace, traces


def refused(path: Path, *words: str) -> None:
    """Reading `path` fails in one line that names it and says `words`."""
    with pytest.raises(TraceError) as caught:
        read_trace(path)
    message = str(caught.value)
    assert "\n" not in message
    assert str(path) in message
    for word in words:
        assert word in message


def rewrite(path: Path, **changes: Any) -> None:
    """Replace members of the zip at `path`: bytes, or None to leave one out."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    members |= {".".join(name.rsplit("_", 1)): data for name, data in changes.items()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            if data is not None:
                archive.writestr(name, data)


def header_with(path: Path, **changes: Any) -> bytes:
    with zipfile.ZipFile(path) as archive:
        return json.dumps(json.loads(archive.read("header.json")) | changes).encode()


@pytest.fixture
def written(tmp_path: Path) -> Path:
    path = tmp_path / "small.test.npz"
    write_trace(small_trace(), path)
    return path


@settings(deadline=None, max_examples=40)
@given(trace=traces())
def test_round_trip(trace: Trace) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "any.npz"
        write_trace(trace, path)
        assert_same(read_trace(path), trace)


def test_every_bfloat16_survives(tmp_path: Path) -> None:
    base = random_trace([[256]], RoutingShape(1, 256, 1), depth=0)
    every = np.arange(2**16, dtype=np.uint16).reshape(256, 1, 256)
    write_trace(replace(base, logits=every), tmp_path / "every.npz")
    assert np.array_equal(read_trace(tmp_path / "every.npz").logits, every)


def test_a_trace_without_logits(tmp_path: Path) -> None:
    trace = replace(random_trace([[3, 1]], RoutingShape(2, 4, 2), depth=0), logits=None)
    write_trace(trace, tmp_path / "dumb.npz")
    assert_same(read_trace(tmp_path / "dumb.npz"), trace)


def test_the_same_trace_makes_the_same_file(tmp_path: Path, written: Path) -> None:
    write_trace(small_trace(), tmp_path / "again.npz")
    assert (tmp_path / "again.npz").read_bytes() == written.read_bytes()


def test_header_fields(written: Path) -> None:
    with zipfile.ZipFile(written) as archive:
        header = json.loads(archive.read("header.json"))
    assert header["format"] == "hobbit-trace"
    assert header["version"] == 1
    assert (header["layers"], header["experts"], header["top_k"], header["depth"]) == (4, 8, 2, 3)
    assert header["dtype"] == "bfloat16"
    assert header["router"] == "softmax_topk_renormalised"
    assert header["origin"] == "synthetic"
    assert header["details"]["statistics"]["skew"] == [0.45, 0.5]


def test_keys_added_within_a_version_are_ignored(written: Path) -> None:
    rewrite(written, header_json=header_with(written, colour="green"))
    assert_same(read_trace(written), small_trace())


def test_missing_and_foreign_files(tmp_path: Path, written: Path) -> None:
    refused(tmp_path / "nowhere.npz", "No such file")
    refused(tmp_path, "directory")
    (tmp_path / "text.npz").write_text("not a zip at all")
    refused(tmp_path / "text.npz", "not a trace")
    np.savez(tmp_path / "other.npz", a=np.arange(3))
    refused(tmp_path / "other.npz", "not a trace")
    rewrite(written, header_json=b'{"format": "something else"}')
    refused(written, "not written by hobbit")
    rewrite(written, header_json=b'["a list"]')
    refused(written, "not written by hobbit")


def test_a_newer_version(written: Path) -> None:
    rewrite(written, header_json=header_with(written, version=2))
    refused(written, "version 2 is newer", "upgrade")


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"version": "one"}, "version"),
        ({"layers": "4"}, "layers='4'"),
        ({"layers": True}, "layers=True"),
        ({"experts": 2}, "logits are"),
        ({"experts": 300}, "experts are"),
        ({"layers": 5}, "experts are"),
        ({"depth": 0}, "lookahead are"),
        ({"depth": -1}, "lookahead"),
        ({"dtype": "int3"}, "int3"),
        ({"dtype": "float32"}, "planes"),
        ({"origin": "dreamt"}, "dreamt"),
    ],
)
def test_headers_that_do_not_fit(written: Path, changes: dict[str, Any], word: str) -> None:
    rewrite(written, header_json=header_with(written, **changes))
    refused(written, word)


def test_members_missing_or_pickled(tmp_path: Path, written: Path) -> None:
    whole = written.read_bytes()
    for member in ("header_json", "experts_npy", "weights_npy"):
        written.write_bytes(whole)
        rewrite(written, **{member: None})
        refused(written, "not a trace")
    np.save(tmp_path / "objects.npy", np.array([{"a": 1}]), allow_pickle=True)
    written.write_bytes(whole)
    rewrite(written, experts_npy=(tmp_path / "objects.npy").read_bytes())
    refused(written, "not a trace")


@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_truncated_or_damaged_files(data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "small.npz"
        write_trace(small_trace(), path)
        raw = bytearray(path.read_bytes())
        place = data.draw(st.integers(0, len(raw) - 1))
        if data.draw(st.booleans()):
            path.write_bytes(raw[:place])
            refused(path)
            return
        raw[place] ^= data.draw(st.integers(1, 255))
        path.write_bytes(raw)
        try:
            trace = read_trace(path)
        except TraceError:
            refused(path)
        else:  # a byte that nobody reads, such as a date
            assert_same(trace, small_trace())


def test_a_failed_write_leaves_the_old_file(
    tmp_path: Path, written: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = written.read_bytes()

    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(zipfile.ZipFile, "writestr", full)
    with pytest.raises(TraceError, match="No space left"):
        write_trace(small_trace(), written)
    assert written.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == [written.name]


def test_an_unwritable_folder(tmp_path: Path) -> None:
    with pytest.raises(TraceError, match="cannot be written"):
        write_trace(small_trace(), tmp_path / "missing" / "x.npz")


def test_starts_must_rise() -> None:
    trace = small_trace()
    with pytest.raises(TraceError, match="pass_starts"):
        replace(trace, pass_starts=trace.pass_starts[::-1])
    with pytest.raises(TraceError, match="within a pass"):
        replace(trace, sequence_starts=np.array([0, 3]))


def test_unknown_bundled_traces() -> None:
    with pytest.raises(TraceError, match="did you mean 'books'"):
        bundled_trace("book")
    with pytest.raises(TraceError, match="part 'dev'"):
        bundled_trace("books", "dev")
