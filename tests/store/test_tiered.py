"""The host's tier: the right bytes whatever the order, no more memory than planned, no read twice in vain."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hobbit.api import DeviceReport, ExpertKey
from hobbit.errors import StoreError
from hobbit.host_plan import HostPlan
from hobbit.store import BlobDisk, MemoryStore, TieredStore, open_store
from tests.store.blobs import (
    KEYS,
    NATIVE,
    SMALL,
    damage,
    open_disk,
    random_blob,
    write_bundle,
)

Opened = Callable[..., TieredStore]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bundle(tmp_path_factory.mktemp("tiered") / "bundle")


@pytest.fixture
def opened(folder: Path) -> Iterator[Opened]:
    stores: list[TieredStore] = []

    def open_with(
        places: int, spare: int = 2, ahead: bool = False, disk: BlobDisk | None = None
    ) -> TieredStore:
        plan = HostPlan(1 << 30, 12, (NATIVE.nbytes, SMALL.nbytes), False, places, spare)
        stores.append(open_store(disk or open_disk(folder), plan, pin=False, ahead=ahead))  # type: ignore[arg-type]
        return stores[-1]

    yield open_with
    for store in stores:
        store.close()


def moved(store: TieredStore) -> int:
    report = DeviceReport(simulated=False)
    store.add_streams(report)
    return report.moved_bytes["disk"]


def read(store: TieredStore, key: ExpertKey) -> torch.Tensor:
    target = torch.empty((NATIVE, SMALL)[key.level].nbytes, dtype=torch.uint8)
    store.expect((key,))
    store.read(key, target)
    return target


def ask(store: TieredStore, key: ExpertKey) -> torch.Tensor:
    store.expect((key,))
    copy = store.blob(key).clone()
    store.release(key)
    return copy


@pytest.mark.parametrize("ahead", [False, True])
@pytest.mark.parametrize("get", [read, ask])
def test_every_blob_is_right_however_often(
    opened: Opened, ahead: bool, get: Callable[[TieredStore, ExpertKey], torch.Tensor]
) -> None:
    store = opened(places=3, ahead=ahead)
    for key in (*KEYS, *reversed(KEYS), *KEYS[::2]):
        assert torch.equal(get(store, key), random_blob(key))


def test_what_is_kept_is_read_once(opened: Opened) -> None:
    store = opened(places=4)
    kept = KEYS[:4]
    for key in kept:
        read(store, key)
    before = moved(store)
    for key in KEYS[4:12]:
        read(store, key)  # a scan
    scanned = moved(store) - before
    for key in kept:
        assert torch.equal(read(store, key), random_blob(key))
    assert moved(store) - before == scanned > 0


def test_what_is_expected_is_read_ahead(opened: Opened) -> None:
    store = opened(places=0, spare=3, ahead=True)
    store.expect(KEYS[:2])
    while moved(store) < 2 * NATIVE.nbytes:
        pass  # the thread reads without being asked
    before = moved(store)
    for key in KEYS[:2]:
        assert torch.equal(store.blob(key), random_blob(key))
        store.release(key)
    assert moved(store) == before


def test_what_is_expected_in_vain_does_not_stop_the_rest(opened: Opened) -> None:
    store = opened(places=0, spare=2, ahead=True)
    store.expect(KEYS[:8])
    for key in KEYS[8:12] * 4:
        assert torch.equal(ask(store, key), random_blob(key))


def test_a_lent_blob_stays(opened: Opened) -> None:
    store = opened(places=1, spare=1)
    lent = store.blob(KEYS[0])
    for key in KEYS[1:12] * 2:
        ask(store, key)
    assert torch.equal(lent, random_blob(KEYS[0]))
    store.release(KEYS[0])


def test_whoever_finds_no_buffer_waits_for_one(opened: Opened) -> None:
    store = opened(places=0, spare=1)
    store.blob(KEYS[0])
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(ask, store, KEYS[1])
        assert not waiting.done()
        store.release(KEYS[0])
        assert torch.equal(waiting.result(10), random_blob(KEYS[1]))


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 5), st.booleans(), st.lists(st.sampled_from(KEYS), max_size=40))
def test_threads_get_what_they_ask_for(
    opened: Opened, places: int, ahead: bool, keys: list[ExpertKey]
) -> None:
    store = opened(places=places, spare=4, ahead=ahead)
    with ThreadPoolExecutor(3) as pool:
        found = pool.map(lambda pair: (ask, read)[pair[0] % 2](store, pair[1]), enumerate(keys))
        for key, blob in zip(keys, found, strict=True):
            assert torch.equal(blob, random_blob(key))
    store.close()


@pytest.mark.parametrize("ahead", [False, True])
@pytest.mark.parametrize("places", [0, 12])
def test_a_blob_that_cannot_be_read_is_an_error_each_time_and_harms_no_other(
    opened: Opened, tmp_path: Path, ahead: bool, places: int
) -> None:
    bundle = write_bundle(tmp_path / "damaged")
    damage(bundle, KEYS[5])
    store = opened(places=places, ahead=ahead, disk=open_disk(bundle))
    for get in (read, ask, read):
        with pytest.raises(StoreError, match=r"expert 1 of layer 1 .*checksum"):
            get(store, KEYS[5])
        assert torch.equal(get(store, KEYS[6]), random_blob(KEYS[6]))
    damage(bundle, KEYS[5])  # the same bit again
    assert torch.equal(read(store, KEYS[5]), random_blob(KEYS[5]))


def test_all_that_fits_lies_in_memory(folder: Path) -> None:
    plan = HostPlan(1 << 30, 12, (NATIVE.nbytes, SMALL.nbytes), True, 12, 0)
    store = open_store(open_disk(folder), plan, pin=False, ahead=False)
    assert isinstance(store, MemoryStore)
    for key in KEYS:
        assert torch.equal(store.blob(key), random_blob(key))


def test_a_damaged_blob_keeps_a_store_from_being_filled(tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "damaged")
    damage(bundle, KEYS[20])
    plan = HostPlan(1 << 30, 12, (NATIVE.nbytes, SMALL.nbytes), True, 12, 0)
    with pytest.raises(StoreError, match="precision int8"):
        open_store(open_disk(bundle), plan, pin=False, ahead=False)
