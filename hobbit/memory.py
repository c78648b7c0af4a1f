"""The memory plan: what a device budget is spent on, and how many expert slots remain (no torch)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hobbit.api import Allocation, CachePolicy, Context, ExpertKey
from hobbit.errors import BudgetError, ConfigError
from hobbit.geometry import Geometry
from hobbit.setup import Setup
from hobbit.sizes import format_size, parse_budget


@dataclass(frozen=True, slots=True)
class MemoryPlan:
    """Bytes of one run on one device. `slots[p]` expert slots hold blobs of `blob_bytes[p]`.

    `non_expert`, `kv` (of `context` tokens), `staging` and the slots never exceed `capacity` together.
    `low_share` is the share that was asked for; `warnings` are for the user to read.
    """

    capacity: int
    non_expert: int
    kv: int
    context: int
    staging: int
    blob_bytes: tuple[int, ...]
    slots: tuple[int, ...]
    low_share: float
    warnings: tuple[str, ...] = ()

    @property
    def expert_bytes(self) -> int:
        """Bytes of all expert slots."""
        return sum(n * size for n, size in zip(self.slots, self.blob_bytes, strict=True))

    @property
    def free(self) -> int:
        """Bytes that the plan leaves unused."""
        return self.capacity - self.non_expert - self.kv - self.staging - self.expert_bytes

    def describe(self) -> list[tuple[str, int, str]]:
        """Rows of the budget table: what, bytes, a note. The rows after the first add up to it."""
        rows = [
            ("budget", self.capacity, ""),
            ("non-expert weights", self.non_expert, "always resident"),
            ("KV cache", self.kv, f"{self.context} tokens"),
            ("staging", self.staging, f"{self.staging // self.blob_bytes[0]} slots"),
        ]
        names = ("experts, high", "experts, low") if len(self.slots) > 1 else ("experts",)
        for name, slots, size in zip(names, self.slots, self.blob_bytes, strict=True):
            rows.append((name, slots * size, f"{slots} slots of {format_size(size)}"))
        rows.append(("unused", self.free, ""))
        return rows


def plan_memory(
    geometry: Geometry,
    blob_bytes: tuple[int, ...],
    capacity: int,
    context: int,
    low_share: float = 0.0,
    staging_slots: int = 0,
    levels: int = 1,
    max_slots: int | None = None,
    low_everywhere: bool = False,
) -> MemoryPlan:
    """Spend `capacity` bytes: non-expert weights, KV of `context` tokens, staging, then expert slots.

    The rest goes `1 - low_share` to high slots and `low_share` to low ones (`levels` == 1: all high), at
    most L x E slots each (`max_slots`, if given, is a lower cap); what a level cannot use goes to the other.
    With `low_everywhere` every expert gets a low slot before that.

    Raises:
        BudgetError: if the weights and KV do not fit, or if the rest cannot hold one layer's top-K plus one
            staging slot at high precision (and one low slot, or all of them, where there are two levels).
        ConfigError: if `low_share` is not a share.
    """
    if not 0 <= low_share <= 1:
        raise ConfigError(f"cache.low_share={low_share} is not a share; give a number from 0 to 1")
    blob_bytes = blob_bytes[:levels]
    rest = _after_weights(geometry, capacity, context)
    staging = staging_slots * blob_bytes[0]
    most = geometry.layers * geometry.experts
    floor = _fewest_slots(geometry, staging_slots, (most if low_everywhere else 1,)[: levels - 1])
    _check_floor(geometry, blob_bytes, capacity, rest, staging, floor)
    most = most if max_slots is None else min(most, max_slots)
    slots = _split(rest - staging, blob_bytes, floor, most, low_share)
    return MemoryPlan(
        capacity,
        geometry.non_expert_bytes,
        context * geometry.kv_bytes_per_token,
        context,
        staging,
        blob_bytes,
        slots,
        low_share if levels > 1 else 0.0,
        _warnings(geometry, slots, max_slots),
    )


def plan_run(
    setup: Setup, context: Context, cache: CachePolicy, tokens: int, staging: int, lacking: int = 0
) -> MemoryPlan:
    """`plan_memory` as `setup` has it, with KV cache for `tokens`, or as many as it reserves.

    `lacking` bytes the device turned out not to have. Raises as `plan_memory`.
    """
    geometry, levels = context.geometry, len(context.precisions)
    capacity = setup.device.capacity_bytes()
    if setup.memory.device != "auto":
        capacity = parse_budget(setup.memory.device, "memory.device")
    if setup.memory.context < 0:
        raise ConfigError(
            f"memory.context={setup.memory.context} is negative; give tokens, or 0 for the run's own"
        )
    reserve = setup.memory.context or tokens
    if setup.cache.unlimited:
        everything = geometry.layers * geometry.experts * sum(context.blob_bytes)
        needed = geometry.non_expert_bytes + reserve * geometry.kv_bytes_per_token + everything
        if needed > capacity:
            context.notes.append(
                f"{setup.cache.name} ignores the memory budget: it needs {format_size(needed)}, "
                f"the device offers {format_size(capacity)}"
            )
        capacity = max(capacity, needed)
    return plan_memory(
        geometry, context.blob_bytes, capacity - lacking, reserve, setup.cache.low_share, staging, levels,
        None if cache.keeps else geometry.top_k, setup.cache.low_everywhere,
    )  # fmt: skip


def _after_weights(geometry: Geometry, capacity: int, context: int) -> int:
    """Bytes left for staging and experts."""
    weights, kv = geometry.non_expert_bytes, context * geometry.kv_bytes_per_token
    if capacity < weights + kv:
        raise BudgetError(
            f"memory.device={format_size(capacity)} cannot hold the {format_size(weights)} of non-expert "
            f"weights of {geometry.name} and {format_size(kv)} of KV cache for {context} tokens; "
            f"give more than {_megabytes(weights + kv)}, or a smaller context"
        )
    return capacity - weights - kv


def _fewest_slots(geometry: Geometry, staging_slots: int, low: tuple[int, ...]) -> tuple[int, ...]:
    """Slots of each level below which a layer could not be served while the next copy is under way."""
    spare = 0 if staging_slots else 1
    high = min(geometry.top_k + spare, geometry.layers * geometry.experts)
    return high, *low


def _check_floor(
    geometry: Geometry,
    blob_bytes: tuple[int, ...],
    capacity: int,
    rest: int,
    staging: int,
    floor: tuple[int, ...],
) -> None:
    need = staging + sum(n * size for n, size in zip(floor, blob_bytes, strict=True))
    if rest < need:
        raise BudgetError(
            f"memory.device={format_size(capacity)} leaves {format_size(rest)} for experts of {geometry.name}"
            f", but {_floor_in_words(geometry, floor)} need {format_size(need)}: {format_size(need - rest)} "
            f"are missing; give at least {_megabytes(capacity - rest + need)}, or a lower precision"
        )


def _floor_in_words(geometry: Geometry, floor: tuple[int, ...]) -> str:
    words = f"one layer's top-{geometry.top_k} plus one staging slot"
    return f"a low copy of every expert and {words}" if sum(floor[1:]) > 1 else words


def _megabytes(nbytes: int) -> str:
    """A size rounded up, so that a user who gives just that much is not refused again."""
    return f"{-(-nbytes // 10**6)}MB"


def _split(
    budget: int, blob_bytes: tuple[int, ...], floor: tuple[int, ...], most: int, low_share: float
) -> tuple[int, ...]:
    """Slots of each level; not below `floor`, which the caller has checked to fit, unless `most` is."""
    if len(blob_bytes) == 1:
        return (min(budget // blob_bytes[0], most),)
    high_size, low_size = blob_bytes
    wanted = int(budget * (1 - low_share)) // high_size
    high = min(max(wanted, floor[0]), (budget - floor[1] * low_size) // high_size, most)
    low = min((budget - high * high_size) // low_size, most)
    high = min((budget - low * low_size) // high_size, most)  # what a full low level leaves over
    return high, low


def _warnings(geometry: Geometry, slots: tuple[int, ...], max_slots: int | None) -> tuple[str, ...]:
    working_set = geometry.shape.working_set
    if sum(slots) >= working_set or max_slots is not None:
        return ()
    text = (
        f"{sum(slots)} expert slots are fewer than the {working_set} experts that one token uses "
        f"(top-{geometry.top_k} x {geometry.layers} layers): one global LRU would scan them and hit nothing"
    )
    return (text,)


def share_slots(plan: MemoryPlan, cache: CachePolicy, geometry: Geometry) -> list[Allocation]:
    """The slots of each level as the cache policy shares them. Raises ConfigError if it miscounts."""
    allocations = [cache.allocate(level, slots, geometry.shape) for level, slots in enumerate(plan.slots)]
    for slots, allocation in zip(plan.slots, allocations, strict=True):
        if allocation.total != slots or len(allocation.slots) not in (1, geometry.layers):
            raise ConfigError(
                f"the cache policy shared {slots} slots as {allocation.slots}: give one pool, or one for "
                f"each of the {geometry.layers} layers, {slots} slots in all"
            )
        if min(allocation.slots) < 1:
            raise ConfigError(f"the cache policy left a layer without slots: {allocation.slots}")
    return allocations


def first_residents(cache: CachePolicy, allocations: Sequence[Allocation]) -> list[ExpertKey]:
    """Who is to be resident before the first token, level by level, best first."""
    return [
        ExpertKey(layer, expert, level)
        for level, allocation in enumerate(allocations)
        for layer, expert in cache.warm(level, allocation)
    ]
