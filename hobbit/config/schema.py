"""The typed configuration of a run: whatever YAML or the command line can reach has a type here."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from omegaconf import MISSING

from hobbit.api import (
    BatcherComponent,
    CacheComponent,
    DeviceComponent,
    Geometry,
    LoaderComponent,
    PrefetcherComponent,
    QuantizerComponent,
    RouterComponent,
)
from hobbit.config.auto import AutoDevice
from hobbit.config.model import ModelOptions
from hobbit.config.tasks import Task
from hobbit.config.workload import Workload
from hobbit.setup import MemoryOptions, PrecisionOptions, Setup, TransferOptions
from hobbit.types import RecordScope


class Output(Enum):
    """How results are written."""

    text = "text"
    json = "json"


@dataclass
class QualityOptions:
    """`enabled`: measure quality beside speed. `tokens`: teacher-forced tokens a domain (512: in full).

    `domains`: of books, code and maths.
    """

    enabled: bool = True
    tokens: int = 32
    domains: list[str] = field(default_factory=lambda: ["books", "code", "maths"])


@dataclass
class HobbitConfig:
    """One run. The groups come first: `group=name` chooses in one, `group.option=value` sets what was chosen.

    `prompt`, `prompt_file`: the text to continue (neither: what is piped in, else a bundled one; prompt=-:
    standard input), by `max_new_tokens` tokens at most or to the text `stop`. `chat`: talk to the model
    instead; a prompt is the first message. `prefill_chunk`: tokens of the prompt that run at once (0: all).
    `temperature`: 0 is greedy. `threads`: of the CPU (0: as fits the model).
    `records`: what caches know of the past, the uses of this sequence or (model) of all so far.
    `deterministic`: freeze whatever would follow measured speeds. `compare`: presets that replay the same
    routing beside the run. `output`: text or json, to the file `out` (none: the terminal).
    """

    task: Task = MISSING
    device: DeviceComponent = MISSING
    model: ModelOptions = MISSING
    geometry: Geometry = MISSING
    loader: LoaderComponent = MISSING
    prefetcher: PrefetcherComponent = MISSING
    cache: CacheComponent = MISSING
    quantizer: QuantizerComponent = MISSING
    router: RouterComponent = MISSING
    batcher: BatcherComponent = MISSING
    transfers: TransferOptions = MISSING
    precision: PrecisionOptions = MISSING
    workload: Workload = MISSING
    memory: MemoryOptions = field(default_factory=MemoryOptions)
    quality: QualityOptions = field(default_factory=QualityOptions)
    prompt: str | None = None
    prompt_file: str | None = None
    chat: bool = False
    max_new_tokens: int = 64
    prefill_chunk: int = 0
    temperature: float = 0.7
    stop: str | None = None
    records: RecordScope = RecordScope.sequence
    seed: int = 0
    threads: int = 0
    deterministic: bool = True
    compare: list[str] = field(default_factory=lambda: ["on_demand", "mixtral_offloading", "belady"])
    output: Output = Output.text
    out: str | None = None

    def setup(self) -> Setup:
        """The components of this run, `device=auto` resolved to what is here."""
        device = self.device.resolve() if isinstance(self.device, AutoDevice) else self.device
        return Setup(
            device=device,
            loader=self.loader,
            prefetcher=self.prefetcher,
            cache=self.cache,
            quantizer=self.quantizer,
            router=self.router,
            batcher=self.batcher,
            queue=self.workload.queue(),
            transfers=self.transfers,
            memory=self.memory,
            precision=self.precision,
            records=self.records,
            seed=self.seed,
            deterministic=self.deterministic,
        )
