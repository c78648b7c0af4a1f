"""The store keeps every blob apart, bit for bit and aligned, and says what it lacks."""

from __future__ import annotations

from itertools import product

import pytest
import torch
from hobbit_quantizers.quanto import QuantoQuantizer

from hobbit.api import Context, ExpertKey, Geometry, Records, RoutingShape
from hobbit.blob import ALIGNMENT
from hobbit.errors import BudgetError, ModelError
from hobbit.store import MemoryStore, fill_store
from hobbit.store.slab import CHUNK_BYTES, CHUNK_ROWS, _rows_of_a_chunk, allocate_slab

GEOMETRY = Geometry(layers=3, experts=4, top_k=2, hidden=64, ffn=64)
PRECISIONS = ("native", "int4")
QUANTIZER = QuantoQuantizer().build(Context(GEOMETRY, PRECISIONS, (), Records(GEOMETRY.shape)))


def tensors_of(layer: int, expert: int) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(100 * layer + expert)
    return {
        name: torch.randn(spec.shape, generator=generator).bfloat16()
        for name, spec in GEOMETRY.expert_tensors().items()
    }


def make_store(precisions: tuple[str, ...] = PRECISIONS) -> MemoryStore:
    layouts = [QUANTIZER.layout(GEOMETRY.expert_tensors(), precision) for precision in precisions]
    return MemoryStore(layouts, GEOMETRY.shape)


@pytest.fixture(scope="module")
def store() -> MemoryStore:
    store = make_store()
    fill_store(store, QUANTIZER, PRECISIONS, tensors_of)
    return store


def test_every_blob_comes_back_bit_for_bit(store: MemoryStore) -> None:
    for layer, expert, level in product(range(3), range(4), range(2)):
        expected = QUANTIZER.encode(tensors_of(layer, expert), PRECISIONS[level])
        assert torch.equal(store.blob(ExpertKey(layer, expert, level)), expected)


def test_blobs_are_aligned(store: MemoryStore) -> None:
    keys = (ExpertKey(*key) for key in product(range(3), range(4), range(2)))
    assert not any(store.blob(key).data_ptr() % ALIGNMENT for key in keys)


def test_nbytes_counts_every_level(store: MemoryStore) -> None:
    blobs = (QUANTIZER.layout(GEOMETRY.expert_tensors(), precision).nbytes for precision in PRECISIONS)
    assert store.nbytes == 12 * sum(blobs)


def test_a_missing_blob_is_named() -> None:
    with pytest.raises(ModelError, match=r"expert 3 of layer 1 .*int4"):
        make_store().blob(ExpertKey(1, 3, 1))


@pytest.mark.parametrize(
    "key", [ExpertKey(3, 0, 0), ExpertKey(0, 4, 0), ExpertKey(0, 0, 2), ExpertKey(-1, 0, 0)]
)
def test_a_key_outside_the_model_is_refused(store: MemoryStore, key: ExpertKey) -> None:
    with pytest.raises(ModelError, match="3 layers of 4 experts"):
        store.blob(key)


def test_a_blob_of_another_size_is_refused() -> None:
    with pytest.raises(ModelError, match=r"expert 2 of layer 0 .* 64 bytes"):
        make_store().put(ExpertKey(0, 2, 0), torch.zeros(64, dtype=torch.uint8))


def test_a_store_beyond_the_memory_is_refused() -> None:
    with pytest.raises(BudgetError, match=r"cannot hold .* experts of 24.6 kB"):
        MemoryStore(make_store()._layouts, RoutingShape(1 << 20, 1 << 20, 1))


@pytest.mark.parametrize("nbytes", [64, 98304, 352_321_536])
def test_locked_chunks_are_worth_a_call(nbytes: int) -> None:
    rows = _rows_of_a_chunk(nbytes)
    assert rows >= CHUNK_ROWS
    assert rows == CHUNK_ROWS or CHUNK_BYTES - nbytes < rows * nbytes <= CHUNK_BYTES


def test_rows_beyond_what_may_be_locked_are_plain_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def locked(nbytes: int) -> torch.Tensor | None:
        asked.append(nbytes)
        return torch.zeros(nbytes, dtype=torch.uint8) if len(asked) == 1 else None

    monkeypatch.setattr("hobbit.store.slab.locked_memory", locked)
    monkeypatch.setattr("hobbit.store.slab.CHUNK_BYTES", 0)
    rows = allocate_slab(100, 4096, pin=True)
    assert len(rows) == 100 and {row.numel() for row in rows} == {4096}
    assert len({row.data_ptr() for row in rows}) == 100
    assert len(asked) == 2, "one refusal is enough"
