"""Blobs come from the disk bit for bit, counted to the byte, or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from hobbit.api import DeviceReport, ExpertKey
from hobbit.blob import PAGE, stride_of
from hobbit.errors import StoreError
from hobbit.store import BlobDisk, direct_file
from hobbit.store import disk as disk_module
from hobbit.store.direct_file import DirectFile
from tests.store.blobs import KEYS, NATIVE, SMALL, damage, file_of, open_disk, random_blob, write_bundle

KEY = KEYS[6]


@pytest.fixture(params=["direct", "buffered"])
def bundle(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A bundle, read directly where the file system allows it, or through the page cache."""
    if request.param == "buffered":
        monkeypatch.setattr(direct_file, "_open_direct", lambda path: -1)
    return write_bundle(tmp_path / "bundle")


@pytest.fixture
def disk(bundle: Path) -> Iterator[BlobDisk]:
    disk = open_disk(bundle)
    yield disk
    disk.close()


def target(key: ExpertKey, shift: int = 0) -> torch.Tensor:
    """Memory for a blob that starts `shift` bytes behind a page."""
    memory = torch.zeros(64 * PAGE, dtype=torch.uint8)
    start = -memory.data_ptr() % PAGE + shift
    return memory[start : start + (NATIVE, SMALL)[key.level].nbytes]


def moved(disk: BlobDisk) -> int:
    report = DeviceReport(simulated=False)
    disk.add_streams(report)
    assert report.busy_ns["disk"] >= 0
    return report.moved_bytes["disk"]


@pytest.mark.parametrize("shift", [0, 64])
@pytest.mark.parametrize("piece", [PAGE, 1 << 20])
def test_every_blob_comes_bit_for_bit(
    disk: BlobDisk, shift: int, piece: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disk_module, "PIECE", piece)
    for key in KEYS:
        blob = target(key, shift)
        disk.read(key, blob)
        assert torch.equal(blob, random_blob(key))


def test_the_bytes_are_those_asked_of_the_disk(disk: BlobDisk) -> None:
    for key in KEYS:
        disk.read(key, target(key))
    exact = sum((NATIVE, SMALL)[key.level].nbytes for key in KEYS)
    pages = sum(stride_of((NATIVE, SMALL)[key.level].nbytes) for key in KEYS)
    assert moved(disk) == (pages if disk.direct else exact)


def test_direct_reads_are_what_the_kernel_counts(tmp_path: Path) -> None:
    counters = Path("/proc/self/io")
    disk = open_disk(write_bundle(tmp_path / "bundle"))
    if not (disk.direct and counters.exists()):
        pytest.skip("no direct reads on this file system, or no /proc/self/io")

    def read_bytes() -> int:
        return next(
            int(line.split()[1]) for line in counters.read_text().splitlines() if "read_bytes" in line
        )

    blobs = [target(key) for key in KEYS]
    before = read_bytes()
    for _ in range(20):
        for key, blob in zip(KEYS, blobs, strict=True):
            disk.read(key, blob)
    assert read_bytes() - before == pytest.approx(moved(disk), rel=0.02)
    disk.close()


def test_a_damaged_blob_is_refused(bundle: Path, disk: BlobDisk) -> None:
    damage(bundle, KEY)
    with pytest.raises(
        StoreError, match=r"expert 2 of layer 1 at precision native .*checksum.*twice.*verify"
    ):
        disk.read(KEY, target(KEY))
    disk.read(KEYS[7], target(KEYS[7]))


def test_a_truncated_file_is_refused(bundle: Path, disk: BlobDisk) -> None:
    path, offset = file_of(bundle, KEY)
    os.truncate(path, offset + PAGE)
    with pytest.raises(StoreError, match=r"expert 2 of layer 1 .* ends at byte"):
        disk.read(KEY, target(KEY))


def test_a_disk_that_fails_is_refused_with_its_reason(disk: BlobDisk) -> None:
    for file in disk._files.values():
        os.close(file._fd)
        file._fd = os.open("/", os.O_RDONLY)  # every read of a folder fails
    with pytest.raises(StoreError, match="Is a directory"):
        disk.read(KEY, target(KEY))


def test_a_blob_that_comes_wrong_once_is_read_again(disk: BlobDisk, monkeypatch: pytest.MonkeyPatch) -> None:
    plain, calls = DirectFile.read, []

    def flips_once(self: DirectFile, piece: Any, offset: int) -> int:
        count = plain(self, piece, offset)
        if not calls:
            piece[0] ^= 1
        calls.append(offset)
        return count

    monkeypatch.setattr(DirectFile, "read", flips_once)
    blob = target(KEY)
    disk.read(KEY, blob)
    assert torch.equal(blob, random_blob(KEY))
    assert len(calls) == 2


def test_a_missing_file_is_one_line(bundle: Path) -> None:
    index_read = open_disk(bundle)
    file_of(bundle, KEY)[0].unlink()
    with pytest.raises(StoreError, match="cannot be opened"):
        BlobDisk(bundle, index_read._index, index_read.levels)
    index_read.close()


def test_a_closed_disk_reads_nothing(disk: BlobDisk) -> None:
    disk.close()
    disk.close()
    with pytest.raises(StoreError):
        disk.read(KEY, target(KEY))
