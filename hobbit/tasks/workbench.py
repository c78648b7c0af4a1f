"""Workbench: what task=bench prepares once, and the rows it measures on it."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from time import perf_counter

import torch

from hobbit import __version__
from hobbit.api import Context, Records
from hobbit.bench.clock import Backend
from hobbit.bench.experts import SyntheticExperts
from hobbit.bench.machine import measure_rates
from hobbit.bench.model import synthetic_model
from hobbit.bench.peers import PEERS, run_peer
from hobbit.bench.peers.peer import PeerCase
from hobbit.bench.routing import bench_routing
from hobbit.bench.row import BenchResult, Failure, PeerRow, PolicyRow
from hobbit.bench.run import Bench, Plan, budgeted, place_of
from hobbit.config.catalogue import POLICY, POLICY_GROUPS, choices
from hobbit.config.compose import compose_overrides
from hobbit.config.schema import HobbitConfig
from hobbit.config.store import OWN_GEOMETRY
from hobbit.config.tasks import BenchTask
from hobbit.config.words import to_overrides
from hobbit.errors import ConfigError, HobbitError
from hobbit.geometry import Geometry
from hobbit.report.bench import BenchReport
from hobbit.report.scene import Scene
from hobbit.setup import Setup
from hobbit.sizes import format_size, parse_size
from hobbit.tasks.calibration import Calibration
from hobbit.tasks.checks import check_names, check_options
from hobbit.tasks.routing import find_trace, is_bundled
from hobbit.trace import selection_scores

REFERENCE = "all_resident"
FULL_EXPERT = 4_000_000
"""Weights of an expert from which on bandwidths are measured with gigabytes; less for toys."""

Stage = Callable[[str], None]


def check_bench(config: HobbitConfig) -> None:
    """Raise ConfigError for options that make no sense, or a device that only simulates."""
    check_options(config)
    task = config.task
    assert isinstance(task, BenchTask)
    check_names(
        POLICY, (entry.partition(":")[0] for entry in task.policies), choices(POLICY), "task.policies: "
    )
    check_names("peer", task.peers, PEERS, "task.peers: ")
    if not 0 < task.fraction <= 1:
        raise ConfigError(
            f"task.fraction={task.fraction} is no share of the experts; give more than 0, at most 1"
        )
    if min(task.prompt, task.tokens, task.repeats) < 1 or task.split < 0 or task.seconds <= 0:
        raise ConfigError(
            "task.prompt, task.tokens, task.repeats and task.seconds must be above 0, task.split 0 or more"
        )
    if config.setup().device.simulated:
        raise ConfigError(
            f"task=bench times a real device; device={config.device.name} is simulated: try device=cuda"
        )
    _reduced(config.geometry, task.layers)


def _nobody(row: PolicyRow | PeerRow | Failure) -> None:
    """Hears of no row."""


@dataclass
class Workbench:
    """The model, the experts and the routing, made once; rows are added as they are measured.

    `tell` hears of each as it comes.
    """

    config: HobbitConfig
    overrides: Sequence[str]
    bench: Bench
    calibration: Calibration
    setup: Setup
    stage: Stage
    setup_s: dict[str, float]
    rows: list[PolicyRow] = field(default_factory=list)
    peers: list[PeerRow] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    tell: Callable[[PolicyRow | PeerRow | Failure], None] = _nobody

    @staticmethod
    def of(config: HobbitConfig, overrides: Sequence[str], stage: Stage) -> Workbench:
        """Draw the model, find the routing, measure the machine. Experts come with the first row."""
        task = config.task
        assert isinstance(task, BenchTask)
        if config.threads:
            torch.set_num_threads(config.threads)
        geometry, setup = _reduced(config.geometry, task.layers), config.setup()
        place = place_of(setup)
        took: dict[str, float] = {}
        with _timed(took, "routing", stage):
            trace = find_trace(task.trace)
            routing = bench_routing(
                trace, task.trace, geometry.shape, task.prompt, task.tokens, is_bundled(trace), config.seed
            )
        with _timed(took, "model", stage):
            model = synthetic_model(geometry, place, task.prompt + task.tokens, config.seed)
        with _timed(took, "machine", stage):
            scale = min(1.0, geometry.expert_values / FULL_EXPERT)
            rates = measure_rates(place, geometry.hidden, geometry.ffn, getattr(torch, geometry.dtype), scale)
        experts = SyntheticExperts(geometry, place, setup.device.pinned, config.seed)
        plan = Plan(task.prompt, task.tokens, task.repeats, task.seconds, task.split)
        bench = Bench(geometry, model, experts, routing, rates, Backend(place), plan)
        calibration = Calibration(
            False, lambda: selection_scores(routing.trace, decode_only=True), "the routing of this bench"
        )
        return Workbench(config, overrides, bench, calibration, setup, stage, took)

    @property
    def geometry(self) -> Geometry:
        """Of the synthetic model."""
        return self.bench.geometry

    def run_policies(self, entries: Sequence[str]) -> None:
        """Measure each policy, the all-resident one first; what fails becomes a failure."""
        if self.bench.resident_ms is None:
            entries = [REFERENCE, *(entry for entry in entries if entry != REFERENCE)]
        for entry in entries:
            self._guarded(entry, partial(self.policy, entry))

    def policy(self, entry: str, fraction: float | None = None) -> PolicyRow:
        """Measure one entry such as `lru` or `lru:loader=balanced`; `fraction` as in the task's options.

        Raises:
            HobbitError: if it does not exist, or does not fit.
        """
        self.stage(f"measuring {entry}")
        config = self.configured(entry)
        setup, budget = self.budgeted(config, fraction)
        before = self.bench.experts.nbytes
        row = self.bench.policy(entry, setup, budget)
        if self.bench.experts.nbytes > before:
            what = f"{format_size(self.bench.experts.nbytes)} of experts"
            self.setup_s[what] = self.bench.experts.seconds
        if entry == REFERENCE:
            self.bench.resident_ms = row.token_ms
        if entry.partition(":")[0] == REFERENCE:  # nothing is loaded: it is its own floor
            row = replace(row, floor_ms=row.token_ms, efficiency=1.0)
        self.rows.append(row)
        self.tell(row)
        return row

    def run_peers(self, names: Iterable[str], fraction: float | None = None) -> None:
        """Measure other engines; what fails becomes a failure."""
        task = self._task
        case = PeerCase(
            self.geometry,
            self.bench.routing.trace,
            self.bench.backend,
            self.bench.plan,
            fraction or task.fraction,
        )
        for name in names:
            self.stage(f"measuring {name}")
            self._guarded(name, partial(self._peer, name, case))

    def _peer(self, name: str, case: PeerCase) -> None:
        self.peers.append(run_peer(name, case))
        self.tell(self.peers[-1])

    def report(self) -> BenchReport:
        """Everything measured so far."""
        plan, geometry, backend = self.bench.plan, self.geometry, self.bench.backend
        result = BenchResult(
            tuple(self.rows), tuple(self.peers), tuple(self.failures), asdict(self.bench.rates), self.setup_s
        )
        return BenchReport(
            self._scene(),
            machine=f"{backend.label}, torch {torch.__version__}",
            shape=f"{geometry.name}: {geometry.layers} layers of {geometry.experts} experts, "
            f"top-{geometry.top_k}, {geometry.dtype}",
            routing=self.bench.routing.source,
            lengths=f"prompt of {plan.prompt} tokens, {plan.tokens} decoded, up to {plan.repeats} times",
            result=result,
        )

    @property
    def _task(self) -> BenchTask:
        assert isinstance(self.config.task, BenchTask)
        return self.config.task

    @property
    def full_size(self) -> bool:
        """False for toys, which are measured with less memory."""
        return self.geometry.expert_values >= FULL_EXPERT

    def configured(self, entry: str) -> HobbitConfig:
        """The run's options under the preset and the options of `entry`, thresholds fitted to the routing."""
        preset, _, own = entry.partition(":")
        dropped = (*POLICY_GROUPS, POLICY)
        kept = [
            word for word in self.overrides if word.lstrip("+~").split("=")[0].split(".")[0] not in dropped
        ]
        words = [word for word in own.split(",") if word]
        config = compose_overrides([*kept, *to_overrides([f"{POLICY}={preset}", *words])])
        return self.calibration.fit(config, self.overrides)

    def budgeted(self, config: HobbitConfig, fraction: float | None = None) -> tuple[Setup, int]:
        """The setup with the bytes it may plan with, and these with the work space."""
        if config.memory.device != "auto":
            return config.setup(), parse_size(config.memory.device, "memory.device")
        geometry, task = self.geometry, self._task
        space = parse_size(task.workspace, "task.workspace")
        context = self.bench.plan.prompt + self.bench.plan.tokens
        share = task.fraction if fraction is None else fraction
        experts = round(share * geometry.layers * geometry.experts * self._blob_bytes())
        planned = geometry.non_expert_bytes + context * geometry.kv_bytes_per_token + experts
        return budgeted(config.setup(), planned), planned + space

    def _blob_bytes(self) -> int:
        """One expert's blob at the high precision."""
        setup, geometry = self.setup, self.geometry
        high = setup.device.high if setup.precision.high == "auto" else setup.precision.high
        context = Context(geometry, (high,), (), Records(geometry.shape), setup.seed)
        return setup.quantizer.build(context).layout(geometry.expert_tensors(), high).nbytes

    def _guarded(self, name: str, measure: Callable[[], object]) -> None:
        try:
            measure()
        except HobbitError as error:
            self._failed(Failure(name, " ".join(str(error).split())))
        # One engine that breaks must not cost the figures of the others: its traceback is kept.
        except Exception as error:
            reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
            self._failed(Failure(name, reason, traceback.format_exc()))

    def _failed(self, failure: Failure) -> None:
        self.failures.append(failure)
        self.tell(failure)

    def _scene(self) -> Scene:
        setup = self.setup
        return Scene(
            hobbit=__version__,
            model=f"synthetic {self.geometry.name}",
            device=setup.device.label or setup.device.name,
            simulated=False,
            synthetic=self.bench.routing.synthetic,
            geometry=self.geometry.name,
            policy={},
            options={},
            precisions=(),
            lossy=False,
            seed=setup.seed,
            memory=(),
            notes=self._notes(),
        )

    def _notes(self) -> tuple[str, ...]:
        notes = [f"{row.policy}: {note}" for row in self.rows for note in row.notes]
        return tuple(dict.fromkeys([*self.calibration.notes, *notes]))


@contextmanager
def _timed(into: dict[str, float], what: str, stage: Stage) -> Iterator[None]:
    """Say what is being prepared, and keep the seconds it took."""
    stage(f"preparing: {what}")
    start = perf_counter()
    yield
    into[what] = perf_counter() - start


def _reduced(geometry: Geometry, layers: int) -> Geometry:
    """The first `layers` layers of a geometry (0: all). Raises ConfigError if it has not so many."""
    if geometry.name == OWN_GEOMETRY.name:
        raise ConfigError("task=bench makes its own model; give geometry=NAME instead of model=")
    if not 0 <= layers <= geometry.layers:
        raise ConfigError(
            f"task.layers={layers}: geometry={geometry.name} has {geometry.layers}; give that at most, or 0"
        )
    return replace(geometry, layers=layers or geometry.layers)
