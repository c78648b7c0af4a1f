"""Seam: memory, streams, copies, kernels and the clock."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, runtime_checkable

from hobbit.blob import BlobLayout
from hobbit.types import ExpertKey

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import torch

    from hobbit.api.costs import CostModel
    from hobbit.api.quantizer import Quantizer
    from hobbit.api.router import Routing
    from hobbit.api.source import ExpertSource


@dataclass(frozen=True, slots=True)
class SlotLayout:
    """The slots that a run needs on the device: `slots[p]` slots for blobs laid out as `layouts[p]`."""

    slots: tuple[int, ...]
    layouts: tuple[BlobLayout, ...]

    @property
    def nbytes(self) -> int:
        """Device bytes of all slots."""
        return sum(n * layout.nbytes for n, layout in zip(self.slots, self.layouts, strict=True))


class ExpertPayload(Protocol):
    """One layer's live activations: T tokens of d values, each with K chosen experts.

    A device runs the experts in one of two ways. With `compute` for each, it knows nothing of their maths.
    Or, where it has kernels for the layer's `activation`, it reads `hidden`, `experts` and `weights`, runs
    the pairs of token and expert itself and writes their sum into what `deliver` gives; then it calls
    `compute` for none.
    """

    @property
    def activation(self) -> str | None:
        """What gates the experts of the layer: y = down_proj (act(gate) * up), (gate, up) the halves of
        gate_up_proj x, no biases. "silu" is act's name; None: other maths, which `compute` alone knows."""
        ...

    @property
    def hidden(self) -> torch.Tensor:
        """The gate input, [T, d]."""
        ...

    @property
    def experts(self) -> npt.NDArray[np.int64]:
        """The experts chosen, [T, K]; negative where a selection does not count."""
        ...

    @property
    def weights(self) -> torch.Tensor:
        """What each output weighs in the sum, [T, K], where `hidden` is; complete once all skips are known.

        The weight of a selection that is skipped or does not count means nothing: leave it out.
        """
        ...

    @property
    def host_hidden(self) -> torch.Tensor | None:
        """`hidden` in locked memory of the host, if it is there by now."""
        ...

    @property
    def host_weights(self) -> npt.NDArray[np.float32]:
        """`weights` in the host's memory, exactly."""
        ...

    @property
    def recorded(self) -> RecordedExperts | None:
        """What runs the device's experts of this call from a recording; None: the device launches them."""
        ...

    def deliver(self, served: int) -> torch.Tensor:
        """The layer's output [T, d], for the device to write: the sum of its experts' outputs times their
        weights, added in ascending order of experts.

        `served` is how many experts it ran. Raises RuntimeError if some were neither run nor skipped.
        """
        ...

    def compute(self, expert: int, tensors: Mapping[str, torch.Tensor]) -> None:
        """Run one expert on the tokens that chose it, and keep its output for the combination."""
        ...

    def skip(self, expert: int) -> None:
        """Leave this expert out of the combination."""
        ...

    def proceed(self) -> None:
        """All that makes the layer's output has been queued: what comes behind the layer may be, too."""
        ...

    def reroute(self, routing: Routing, weights: torch.Tensor | None = None) -> None:
        """A router transform changed the routing: use its experts and weights from now on.

        `weights` [T, K]: the routing's, where `hidden` is, for whoever has them there already.
        """
        ...


@dataclass(slots=True, eq=False)
class Copy:
    """A blob on its way into a slot. `done` and `ready_ns` are the device's to set."""

    key: ExpertKey
    slot: int
    urgent: bool
    nbytes: int
    done: bool = False
    ready_ns: int = 0
    handle: Any = None


class Job(NamedTuple):
    """One expert to run on `tokens` tokens: resident in `slot` of its level, or where it lies (slot -1).

    `share` is the host's part of one that is run where it lies, as in `Decision`.
    """

    key: ExpertKey
    slot: int
    tokens: int
    share: float = 1.0


@dataclass(slots=True)
class DeviceReport:
    """Nanoseconds and bytes since the device started; `simulated` says which clock they are on."""

    simulated: bool
    now_ns: int = 0
    stall_ns: int = 0
    busy_ns: dict[str, int] = field(default_factory=dict)
    moved_bytes: dict[str, int] = field(default_factory=dict)

    def since(self, start: DeviceReport) -> DeviceReport:
        """What was added to an earlier report of the same device."""
        return DeviceReport(
            self.simulated,
            self.now_ns - start.now_ns,
            self.stall_ns - start.stall_ns,
            {name: busy - start.busy_ns.get(name, 0) for name, busy in self.busy_ns.items()},
            {name: moved - start.moved_bytes.get(name, 0) for name, moved in self.moved_bytes.items()},
        )


class SettledExperts(Protocol):
    """Runs layers whose experts are all resident for good, without asking the host where they are."""

    def __call__(
        self, layer: int, hidden: torch.Tensor, index: torch.Tensor, weights: torch.Tensor
    ) -> torch.Tensor:
        """Output [T, d] for `hidden` [T, d] and the experts `index` [T, K] with `weights` [T, K], all on the
        device. Nothing waits, so that the call may be recorded in a CUDA graph."""
        ...


@runtime_checkable
class SettlingDevice(Protocol):
    """A device that can do without the host once every expert is resident for good."""

    def settles(self, activation: str | None, tokens: int) -> bool:
        """Whether it has kernels for these maths (see `ExpertPayload`) that give T tokens the bits of `run`
        without the host. Asked at every step, so it is cheap."""
        ...

    def settled(self, slots: npt.NDArray[np.int32]) -> SettledExperts:
        """Experts in the high-precision `slots` [L, E], for maths and steps that it `settles`."""
        ...


class RecordedExperts(Protocol):
    """Runs a layer's experts as a part of what is recorded behind it: nobody launches them one by one.

    Which experts, in which slots, `run` is told of each layer before the recording is replayed.
    """

    def __call__(self, hidden: torch.Tensor) -> torch.Tensor:
        """Where the layer's output for `hidden` [T, d] will lie; queues what makes it, and waits for nothing,
        so that it may be recorded in a CUDA graph."""
        ...


@runtime_checkable
class RecordingDevice(Protocol):
    """A device that can run a layer's experts from a recording, wherever they are by then."""

    def recorded(self, activation: str | None, tokens: int, top_k: int) -> RecordedExperts | None:
        """For layers of T tokens with K experts each and these maths (see `ExpertPayload`), with the bits of
        `run`; None where that gains nothing or cannot be. Asked before each recording."""
        ...


class Device(Protocol):
    """Executes what the runtime decided. It reorders copies by urgency; it never chooses experts or victims.

    The runtime calls, in this order: `prepare` once; `load` and `wait` for what is to be there first; then
    for every forward pass `begin_pass`, for each MoE layer `begin_layer`, any of `load`, `hurry`, `cancel`,
    `run`, `run_host`, `wait`, then `end_layer`; last `end_pass`. `payload` is None in a replay: the clock is
    charged, no maths is done.
    """

    simulated: bool
    costs: CostModel
    place: str
    """Torch name of where a live model's activations live: "cpu", "cuda", "mps"."""

    queues: bool
    """Whether `run`, `wait` and `end_layer` only queue what they are for: what the host does next then costs
    the device no time."""

    def prepare(
        self, layout: SlotLayout, quantizer: Quantizer, source: ExpertSource | None, block_bytes: int = 0
    ) -> None:
        """Allocate the slots. `source` is None in a replay.

        `block_bytes` > 0 lets an urgent copy interrupt a prefetch at the next block boundary (MoE-APEX);
        0: a started copy runs to its end (HOBBIT). Raises DeviceError when memory is short.
        """
        ...

    def begin_pass(self, tokens: int, context: int) -> None:
        """A forward pass of T tokens begins, `context` tokens being in the KV cache already."""
        ...

    def begin_layer(self, layer: int, tokens: int, context: int) -> None:
        """The non-expert part of `layer` (attention, norms, router) has run; simulators charge it here."""
        ...

    def load(self, copy: Copy) -> None:
        """Queue a copy into its slot, whose old content is dead from now on. Urgent copies go first."""
        ...

    def hurry(self, copy: Copy) -> None:
        """A queued prefetch is now demanded: serve it with the urgent ones."""
        ...

    def cancel(self, copy: Copy) -> None:
        """The slot is given to another expert: drop what has not been moved yet."""
        ...

    def run(self, layer: int, jobs: Sequence[Job], payload: ExpertPayload | None) -> None:
        """Run resident experts; their copies, if any, have been waited for."""
        ...

    def run_host(self, layer: int, jobs: Sequence[Job], payload: ExpertPayload | None) -> None:
        """Start experts where they lie, on the host, beside the device; `end_layer` joins them.

        A device that cannot read them there itself leaves all of a shared one to the host.
        """
        ...

    def wait(self, copies: Sequence[Copy]) -> int:
        """Block until all copies have arrived; returns the nanoseconds lost to waiting."""
        ...

    def end_layer(self, layer: int) -> int:
        """Join host-run experts; returns the nanoseconds lost to waiting for them."""
        ...

    def end_pass(self, tokens: int) -> None:
        """The rest of the pass (final norm, head) has run; simulators charge it here."""
        ...

    def now_ns(self) -> int:
        """Nanoseconds on the device's clock; the end of a pass includes all work queued for it."""
        ...

    def report(self) -> DeviceReport:
        """Clock, stalls, busy time and bytes of each stream so far."""
        ...

    def close(self) -> None:
        """Give memory and threads back; the device is not used afterwards."""
        ...
