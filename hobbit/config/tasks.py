"""The tasks that `task=` may name: their options, and where the function that does the work is found."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from importlib import import_module
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from hobbit.config.schema import HobbitConfig

    TaskFunction = Callable[[HobbitConfig, Sequence[str]], int]


@dataclass
class Task:
    """Base of every task: a dataclass of options. `function` is "module:function", imported when it runs.

    The function takes the configuration and the Hydra overrides that made it, and returns an exit code.
    """

    name: ClassVar[str] = ""
    function: ClassVar[str] = ""

    @classmethod
    def load(cls) -> TaskFunction:
        """Import the task's function, torch and all."""
        module, _, name = cls.function.partition(":")
        function: TaskFunction = getattr(import_module(module), name)
        return function


@dataclass
class RunTask(Task):
    """Continue the prompt on the chosen device, measure it, and replay its routing under other policies."""

    name: ClassVar[str] = "run"
    function: ClassVar[str] = "hobbit.tasks.run:run"


@dataclass
class RecordTask(Task):
    """Record the routing of prompts under the chosen policy as a trace, written to out=FILE.npz.

    `lines`: every line of the prompt is a prompt of its own, and a sequence of the trace. `domain` and `part`
    are written into the header.
    """

    name: ClassVar[str] = "record"
    function: ClassVar[str] = "hobbit.tasks.record:run"
    lines: bool = False
    domain: str = ""
    part: str = ""


@dataclass
class SimulateTask(Task):
    """Replay a trace on a simulated device's clock, without a model, and beside it the presets of `compare`.

    `trace`: a file, or a bundled one: books, code or maths, with .train or .test (the default). A geometry of
    another shape replays `sequences` of `prompt_tokens` and `decode_tokens`, generated with the statistics of
    the trace; everything made from them says "synthetic".
    """

    name: ClassVar[str] = "simulate"
    function: ClassVar[str] = "hobbit.tasks.simulate:run"
    trace: str = "books"
    prompt_tokens: int = 128
    decode_tokens: int = 128
    sequences: int = 1


@dataclass
class TimelineTask(SimulateTask):
    """Write what every stream of a simulated device does during a few decoded tokens to out=FILE.json.

    Perfetto opens that file; pictures are written beside it. `tokens` of the first sequence are shown, after
    `skip` decoded ones. The other options are those of task=simulate.
    """

    name: ClassVar[str] = "timeline"
    function: ClassVar[str] = "hobbit.tasks.timeline:run"
    tokens: int = 4
    skip: int = 8


@dataclass
class HeatTask(SimulateTask):
    """Count how often each expert of each layer is used and found resident in decode, to out=FILE.json.

    A heat map is drawn beside it. The options are those of task=simulate.
    """

    name: ClassVar[str] = "heat"
    function: ClassVar[str] = "hobbit.tasks.heat:run"


@dataclass
class SweepTask(SimulateTask):
    """Replay routing at several sizes of the expert cache: hit ratio and miss penalty, to out=FILE.jsonl.

    Pictures are drawn beside it. `policies` are presets; belady is the ceiling of those that load on demand
    at one precision. `shares` are parts of all expert bytes at the high precision. The other options are
    those of task=simulate.
    """

    name: ClassVar[str] = "sweep"
    function: ClassVar[str] = "hobbit.tasks.sweep:run"
    policies: list[str] = field(default_factory=lambda: ["lru", "lfu", "hobbit_no_prefetch", "belady"])
    shares: list[float] = field(default_factory=lambda: [0.125, 0.1875, 0.25, 0.375, 0.5, 0.75])


@dataclass
class ReportTask(Task):
    """Gather the results in a folder, of a comparison, sweeps and pictures, as one HTML page, out=FILE.html.

    `results`: the folder.
    """

    name: ClassVar[str] = "report"
    function: ClassVar[str] = "hobbit.tasks.report:run"
    results: str = "hobbit-comparison"


@dataclass
class EvaluateTask(Task):
    """Measure the quality of a policy in decode, from an empty cache, against the model at high precision.

    `tokens`: teacher-forced ones of each of the `domains`.
    """

    name: ClassVar[str] = "evaluate"
    function: ClassVar[str] = "hobbit.tasks.evaluate:run"
    tokens: int = 512
    domains: list[str] = field(default_factory=lambda: ["books", "code", "maths"])


class Executor(Enum):
    """Where the cells of a comparison run."""

    processes = "processes"
    ray = "ray"


@dataclass
class CompareTask(Task):
    """Every policy on every device and geometry: speed by replay, quality live; results in the folder out.

    `policies`, `devices`, `geometries` (also without "task."): the grid; nothing: the one chosen with
    policy=, device= or geometry=, else all presets, orin and rtx4090, mixtral_8x7b and phi_moe. `traces`: the
    recorded routing, one sequence of each; other shapes get routing generated with its statistics, marked
    synthetic. `live`: the speed of lossy policies from a live run, teacher-forced on the recorded tokens:
    slow. `executor`: processes, or a ray cluster; `workers` of it (0: one a CPU). `fresh`: measure anew what
    the folder holds already.
    """

    name: ClassVar[str] = "compare"
    function: ClassVar[str] = "hobbit.tasks.compare:run"
    policies: list[str] = field(default_factory=list)
    devices: list[str] = field(default_factory=list)
    geometries: list[str] = field(default_factory=list)
    traces: list[str] = field(default_factory=lambda: ["books", "code", "maths"])
    live: bool = False
    executor: Executor = Executor.processes
    workers: int = 0
    fresh: bool = False


@dataclass
class BenchTask(Task):
    """Time policies, and other engines beside them, on a synthetic model of geometry=, on a real device.

    `policies`: presets, each perhaps with options of its own (`lru:loader=balanced`); all_resident comes
    first, since efficiencies need it. `layers`: of the geometry, the first ones (0: all). `fraction`: of the
    expert bytes that fit on the device, beside `workspace` for activations; memory.device= overrides it.
    `prompt` and `tokens` of each sequence, `repeats` of them, fewer once `seconds` are over. `split`: tokens
    timed part by part (0: none). `trace`: whose routing is replayed; other shapes get routing generated with
    its statistics. `peers`: of transformers, accelerate, policylang and llama_bench. `picture`: a PNG of
    where a token's time goes.
    """

    name: ClassVar[str] = "bench"
    function: ClassVar[str] = "hobbit.tasks.bench:run"
    policies: list[str] = field(default_factory=lambda: ["lru", "hobbit_lossless", "hobbit"])
    layers: int = 0
    fraction: float = 0.5
    workspace: str = "256MB"
    prompt: int = 128
    tokens: int = 128
    repeats: int = 5
    seconds: float = 30.0
    split: int = 16
    trace: str = "books"
    peers: list[str] = field(default_factory=list)
    picture: str = ""


@dataclass
class CalibrateTask(BenchTask):
    """Measure this machine into a profile for simulated devices, out=FILE.yaml, and check it by simulating.

    `device=FILE.yaml` simulates with it. The decode times of `policies` are measured on the machine and
    simulated from its profile on the same routing. The other options are those of task=bench.
    """

    name: ClassVar[str] = "calibrate"
    function: ClassVar[str] = "hobbit.tasks.calibrate:run"
    policies: list[str] = field(default_factory=lambda: ["on_demand", "lru", "mixtral_offloading", "hobbit"])
    split: int = 0


@dataclass
class ConvertTask(Task):
    """Make a checkpoint of any size into a bundle, the folder out=DIR, which runs without being loaded whole.

    `precisions` (also without "task."): what every expert is stored at: native (or the name of the
    checkpoint's dtype: bf16, fp16, fp32), lossless12 (bfloat16, in three quarters of the bytes) and those of
    the quantizer. A call that was cut short is gone on with by the same words.
    """

    name: ClassVar[str] = "convert"
    function: ClassVar[str] = "hobbit.tasks.convert:run"
    precisions: list[str] = field(default_factory=lambda: ["native", "int4", "int2"])


@dataclass
class VerifyTask(Task):
    """Check every blob and file of the bundle model=DIR against its checksums."""

    name: ClassVar[str] = "verify"
    function: ClassVar[str] = "hobbit.tasks.verify:run"


@dataclass
class PluginsTask(Task):
    """List every component: kind, name, options, provider and status."""

    name: ClassVar[str] = "plugins"
    function: ClassVar[str] = "hobbit.tasks.plugins:run"


TASKS: dict[str, type[Task]] = {
    task.name: task
    for task in (
        RunTask, RecordTask, SimulateTask, EvaluateTask, CompareTask, SweepTask, HeatTask, TimelineTask,
        ReportTask, BenchTask, CalibrateTask, ConvertTask, VerifyTask, PluginsTask,
    )
}  # fmt: skip
"""Every task by name."""
