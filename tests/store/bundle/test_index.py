"""The index comes back as it was written, and whatever does not fit is one line."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hobbit.blob import BlobLayout, TensorSpec
from hobbit.errors import BundleError
from hobbit.store.bundle import BlobFile, BundleIndex, BundleLevel
from hobbit.store.bundle.level import stride_of
from hobbit.types import RoutingShape

TENSORS = (
    ("gate_up_proj", TensorSpec((64, 96), "bfloat16")),
    ("down_proj", TensorSpec((96, 32), "bfloat16")),
)
LAYOUT = BlobLayout.pack("native", TENSORS, tuple((name, "data", spec) for name, spec in TENSORS))
STRIDE = stride_of(LAYOUT.nbytes)


def make_index(layers: int = 2, experts: int = 4, rows: int = 3) -> BundleIndex:
    """An index of files of `rows` blobs."""
    total = layers * experts
    files = tuple(
        BlobFile(f"experts/native-{number:05d}.bin", first, min(rows, total - first))
        for number, first in enumerate(range(0, total, rows))
    )
    level = BundleLevel(LAYOUT, "none", {"group_size": 64}, STRIDE, files, tuple(range(total)))
    shape = RoutingShape(layers, experts, 2)
    return BundleIndex("org/name", shape, TENSORS, (level,), ("model.safetensors",), ("config.json",))


def write(index: BundleIndex, folder: Path) -> Path:
    """`index` in `folder`, beside files of the sizes it says."""
    (folder / "experts").mkdir()
    for level in index.levels:
        for file in level.files:
            (folder / file.name).write_bytes(bytes(file.rows * level.stride))
    for name in (*index.weights, *index.files):
        (folder / name).write_bytes(b"x")
    index.write(folder)
    return folder


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return write(make_index(), tmp_path)


def test_it_comes_back_as_it_was_written(bundle: Path) -> None:
    assert BundleIndex.is_bundle(bundle)
    assert BundleIndex.read(bundle) == make_index()
    assert sorted(file.name for file in bundle.iterdir() if file.is_file()) == [
        "config.json", "hobbit.json", "model.safetensors",
    ]  # fmt: skip


@given(st.integers(1, 5), st.integers(1, 9), st.integers(1, 12))
@settings(deadline=None, max_examples=50)
def test_every_row_has_its_own_place(layers: int, experts: int, rows: int) -> None:
    index = make_index(layers, experts, rows)
    level = index.levels[0]
    places = [level.place(index.row(layer, expert)) for layer in range(layers) for expert in range(experts)]
    assert len(set(places)) == layers * experts
    for file, offset in places:
        assert offset % 4096 == 0
        assert offset + level.nbytes <= file.rows * level.stride


def test_a_precision_is_found_by_the_name_of_the_dtype_too() -> None:
    index = make_index()
    assert index.level("bfloat16") is index.level("native") is index.levels[0]
    assert index.level("int4") is None


def _levels(**changes: Any) -> Callable[[dict[str, Any]], None]:
    return lambda values: values["levels"][0].update(changes)


def _top(**changes: Any) -> Callable[[dict[str, Any]], None]:
    return lambda values: values.update(changes)


def _file(name: str) -> Callable[[dict[str, Any]], None]:
    return lambda values: values["levels"][0]["files"][0].update(name=name)


def _field(**changes: Any) -> Callable[[dict[str, Any]], None]:
    return lambda values: values["levels"][0]["fields"][0].update(changes)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_top(version=2), "its version 2 is newer than 1, the last this hobbit reads; upgrade hobbit"),
        (_top(version="1"), "its version '1' is not a number"),
        (_top(format="hobbit-trace"), "its index does not say 'hobbit-bundle'"),
        (_top(shape={"layers": 2, "experts": 4}), "its index lacks top_k"),
        (_top(shape={"layers": 0, "experts": 4, "top_k": 2}), "layers=0"),
        (_top(model=7), "model=7, which is of the wrong type"),
        (_top(levels=[None]), "its index lacks precision"),
        (_top(weights=["../model.safetensors"]), "'../model.safetensors', which lies outside the bundle"),
        (_top(files=["/etc/passwd"]), "'/etc/passwd', which lies outside the bundle"),
        (_file("C:\\experts.bin"), "which lies outside the bundle"),
        (_file("experts/..\\..\\x"), "which lies outside the bundle"),
        (_file(""), "which lies outside the bundle"),
        (_levels(stride=4096 * 99), "not the next multiple of 4096"),
        (_levels(checksums=["00"]), "1 checksums and files of 8 blobs, the model 8 experts"),
        (_levels(checksums=["xx"] * 8), "checksums='xx', which is malformed"),
        (_levels(files=[]), "files of 0 blobs"),
        (_field(dtype="float8"), "of dtype 'float8', which no blob can hold"),
        (_field(dtype="int32", shape=[64, 96]), ": outside"),
        (_top(tensors=[{"name": "w", "shape": [8, 8], "dtype": "int32"}]), "of dtype 'int32', which no"),
        (_field(shape=[-1, 5]), "[-1, 5]"),
        (_field(offset=8), "not a multiple of 64"),
        (_field(offset=2**40), ": outside"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_one_line(
    bundle: Path, change: Callable[[dict[str, Any]], None], message: str
) -> None:
    values = json.loads((bundle / "hobbit.json").read_text())
    change(values)
    (bundle / "hobbit.json").write_text(json.dumps(values))
    assert message in refusal(bundle)


def refusal(bundle: Path) -> str:
    with pytest.raises(BundleError) as caught:
        BundleIndex.read(bundle)
    line = str(caught.value)
    assert line.startswith(f"bundle {bundle}: ")
    assert "\n" not in line
    return line


def test_damaged_json(bundle: Path) -> None:
    text = (bundle / "hobbit.json").read_bytes()
    (bundle / "hobbit.json").write_bytes(text[: len(text) // 2])
    assert "hobbit.json is not JSON or is damaged" in refusal(bundle)
    (bundle / "hobbit.json").write_bytes(b"\xff\xfe\x00")
    assert "hobbit.json is not JSON or is damaged" in refusal(bundle)
    (bundle / "hobbit.json").unlink()
    assert "hobbit.json cannot be read: No such file" in refusal(bundle)


def test_files_that_are_missing_or_cut(bundle: Path) -> None:
    blobs = bundle / "experts/native-00001.bin"
    blobs.write_bytes(blobs.read_bytes()[:-1])
    assert f"experts/native-00001.bin has {3 * STRIDE - 1} bytes where its blobs take" in refusal(bundle)
    blobs.unlink()
    assert "experts/native-00001.bin is missing" in refusal(bundle)


def test_a_failed_write_leaves_the_old_index(bundle: Path) -> None:
    broken = replace(make_index(), source={"path": object()})  # type: ignore[dict-item]
    with pytest.raises(TypeError):
        broken.write(bundle)
    assert BundleIndex.read(bundle) == make_index()
