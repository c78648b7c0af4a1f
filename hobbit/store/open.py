"""open_store: the experts of a bundle, in host memory as far as they fit."""

from __future__ import annotations

from hobbit.api import ExpertKey
from hobbit.host_plan import HostPlan
from hobbit.store.disk import BlobDisk
from hobbit.store.memory import MemoryStore
from hobbit.store.miss_frequency import MissFrequency
from hobbit.store.shelf import Shelf
from hobbit.store.slab import allocate_slab
from hobbit.store.tiered import TieredStore


def open_store(disk: BlobDisk, plan: HostPlan, pin: bool, ahead: bool) -> MemoryStore | TieredStore:
    """The store of `plan` over `disk`, which it closes in time. `pin` locks host memory; `ahead` reads ahead.

    Raises:
        BudgetError: if the host has not the memory after all.
        StoreError: if all experts are to be in memory and one cannot be read.
    """
    try:
        return _whole(disk, pin) if plan.whole else _tiered(disk, plan, pin, ahead)
    except BaseException:
        disk.close()
        raise


def _whole(disk: BlobDisk, pin: bool) -> MemoryStore:
    store = MemoryStore([level.layout for level in disk.levels], disk.shape, pin)
    for level in range(len(disk.levels)):
        for layer in range(disk.shape.layers):
            for expert in range(disk.shape.experts):
                key = ExpertKey(layer, expert, level)
                disk.read(key, store.row(key))
    disk.close()
    return store


def _tiered(disk: BlobDisk, plan: HostPlan, pin: bool, ahead: bool) -> TieredStore:
    shelves = []
    for level, stride in zip(disk.levels, plan.strides, strict=True):
        rows = allocate_slab(plan.places + plan.spare, stride, pin)
        policy = MissFrequency(plan.places, plan.rows)
        shelves.append(Shelf([row[: level.nbytes] for row in rows], policy))
    return TieredStore(disk, shelves, ahead)
